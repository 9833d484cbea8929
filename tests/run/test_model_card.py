from pathlib import Path

from predictions_table import predictions

from ctxai.data.settings import AugmentConfig, EraseConfig, FoldConfig, ViewConfig
from ctxai.evaluate.predictions.evaluation import evaluate_predictions
from ctxai.models.settings import BackboneConfig, HeadsConfig
from ctxai.run.config import RunConfig
from ctxai.run.model_card import model_card

PROVENANCE = {
    "patients": {"training": ["a", "b"], "validation": ["c"], "test": ["d"]},
    "store": {"nodules": 5, "table_sha256": "abc"},
    "nodules": {"training": ["1", "2", "3"], "validation": ["4"], "test": ["5"]},
}


def test_the_card_says_what_the_run_saw_and_what_it_is_not_for():
    card = model_card("small", RunConfig(), PROVENANCE, {})
    assert card.startswith("# small\n")
    assert "Trained on: 3 nodules of 2 patients." in card
    assert "Research use only" in card and "no biopsy" in card
    assert "Not evaluated yet" in card


def test_a_run_that_starts_from_a_trained_backbone_says_so():
    config = RunConfig(backbone=BackboneConfig(weights=Path("ctxai:some_backbone")))
    card = model_card("run", config, PROVENANCE, {})
    assert "from ctxai:some_backbone" in card and "transductive" in card
    assert "transductive" not in model_card("run", RunConfig(), PROVENANCE, {})


def test_stem_heads_erased_parts_and_the_placing_of_images_are_told():
    config = RunConfig(
        views=ViewConfig(("axial",), recentre_mm=8.0, turns=8),
        backbone=BackboneConfig(patch_size=4, width=64, heads=2, stem=(24, 48), coarse_margin=True),
        heads=HeadsConfig(readout="ordinal", outline=1.0, features=1.0),
        augment=AugmentConfig(erase=EraseConfig(share=0.5, grounded=True)),
    )
    card, plain = (model_card("run", each, PROVENANCE, {}) for each in (config, RunConfig()))
    told = (
        "at most 8 mm",
        "8 quarter turns",
        "widths 24, 48",
        "twice the side",
        "four cumulative",
        "the readers' outline, radiomic features",
    )
    for words in (*told, "lung or blur"):
        assert words in card and words not in plain, words


def test_a_control_with_shuffled_labels_is_marked():
    assert "chance-level control" in model_card("control", RunConfig(shuffle_labels=True), PROVENANCE, {})
    assert "chance-level control" not in model_card("run", RunConfig(), PROVENANCE, {})


def test_figures_come_with_their_intervals_and_missing_ones_as_dashes():
    table = predictions().assign(features_score=lambda t: t["malignancy_logit"], margin=2.0, margin_ratings="3|4")
    metrics = {"test": evaluate_predictions(table, resamples=20)}
    card = model_card("run", RunConfig(), PROVENANCE, metrics)
    area = metrics["test"]["malignancy"]["auc"]
    shown = f"{area['value']:.3f} ({area['low']:.3f} – {area['high']:.3f})"
    assert f"| this run | {shown} | |" in card
    assert f"| logistic regression on hand-made features | {shown} | +0.000 (+0.000 – +0.000) |" in card
    margin = next(line for line in card.splitlines() if line.startswith("| margin | 200 |")).split(" | ")
    assert margin[3] == "1.000 (1.000 – 1.000)" and margin[4] == "–"
    assert "AUC by texture: part-solid or non-solid:" in card


def test_a_run_without_malignancy_has_a_card_too():
    table = predictions()[["patient_id", "label_malignancy", "margin", "margin_low", "margin_high", "margin_readers"]]
    card = model_card(
        "run", RunConfig(targets=("margin",)), PROVENANCE, {"test": evaluate_predictions(table, resamples=5)}
    )
    assert "| margin | 200 |" in card and "this run" not in card


def test_the_card_says_what_a_rating_is_not():
    card = model_card("run", RunConfig(), PROVENANCE, {})
    assert "## What a rating is not" in card and "no biopsy, no follow-up, no outcome" in card


def test_selection_and_nodule_folds_are_told():
    usual = model_card("run", RunConfig(), PROVENANCE, {})
    assert "Folds hold whole patients." in usual and "Nothing was selected by" in usual
    config = RunConfig(folds=FoldConfig(unit="nodule"))
    card = model_card("run", config, PROVENANCE, {"training": {"selected_by": "the validation fold"}})
    assert "Folds hold whole patients" not in card and "every figure is too good" in card
    assert "**Selected by the validation fold.**" in card


def test_maps_that_were_judged_have_a_row_each():
    share = {"value": 0.9, "low": 0.8, "high": 0.95}
    row = {"nodules": 60, "passes_lung": share, "passes_blur": share | {"value": 0.85}, "rho": 0.92, "inside": 0.44}
    card = model_card("run", RunConfig(), PROVENANCE, {"maps": {"path_gradients": row}})
    shares = "0.900 (0.800 – 0.950) | 0.850 (0.800 – 0.950)"
    assert f"| path_gradients | 60 | {shares} | 0.920 | 0.440 |" in card
    assert "Maps of malignancy" not in model_card("run", RunConfig(), PROVENANCE, {})
    judged = {"maps": {"path_gradients": row | {"others_lung": share, "others_blur": share}, "random_map": row}}
    card = model_card("run", RunConfig(), PROVENANCE, judged)
    beaten = "0.900 (0.800 – 0.950) | 0.900 (0.800 – 0.950)"
    assert f"| path_gradients | 60 | {shares} | {beaten} | 0.920 | 0.440 |" in card
    assert f"| random_map | 60 | {shares} | – | – | 0.920 | 0.440 |" in card and "ten other nodules" in card


def test_maps_of_other_targets_and_of_an_ensembles_networks_are_told():
    share = {"value": 0.9, "low": 0.8, "high": 0.95}
    row = {"nodules": 60, "passes_lung": share, "passes_blur": share}
    metrics = {"maps": {"cdam": row}, "maps_of_targets": {"texture": {"method": "path_gradients"} | row}}
    card = model_card("run", RunConfig(), PROVENANCE | {"members": 5}, metrics)
    assert "| texture | path_gradients | 60 | 0.900 (0.800 – 0.950) | 0.900 (0.800 – 0.950) |" in card
    assert "Maps of each network alone" in card and "| cdam | 60 |" in card and "| – | – |" in card


def test_the_source_is_cited_when_the_patients_are_of_lidc_idri():
    patients = PROVENANCE["patients"] | {"training": ["LIDC-IDRI-0001"]}
    assert "CC BY 3.0" in model_card("run", RunConfig(), PROVENANCE | {"patients": patients}, {})
    assert "CC BY 3.0" not in model_card("run", RunConfig(), PROVENANCE, {})


def test_a_run_of_one_axial_slice_says_so():
    assert "sees one axial slice" in model_card("run", RunConfig(views=ViewConfig(views=("axial",))), PROVENANCE, {})
    assert "sees one axial slice" not in model_card("run", RunConfig(), PROVENANCE, {})
