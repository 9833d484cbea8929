from ctxai.data.labels import TARGETS
from ctxai.data.views import ViewConfig
from ctxai.models.model_card import model_card
from ctxai.models.run_config import RunConfig

PROVENANCE = {
    "patients": {"training": ["a", "b"], "validation": ["c"], "test": ["d"]},
    "store": {"nodules": 5, "table_sha256": "abc"},
    "nodules": {"training": ["1", "2", "3"], "validation": ["4"], "test": ["5"]},
}


def test_the_card_says_what_the_run_saw_and_what_it_is_not_for():
    card = model_card("small", RunConfig(), PROVENANCE, {})
    assert card.startswith("# small\n")
    assert "Trained on: 3 nodules of 2 patients." in card
    assert "Research use only" in card and "not a diagnosis" in card
    assert "Not evaluated yet" in card


def test_a_control_with_shuffled_labels_is_marked():
    assert "chance-level control" in model_card("control", RunConfig(shuffle_labels=True), PROVENANCE, {})
    assert "chance-level control" not in model_card("run", RunConfig(), PROVENANCE, {})


def test_figures_come_with_their_intervals_and_missing_ones_as_dashes():
    interval = {"value": 0.9, "low": 0.85, "high": 0.94}
    row = {"nodules": 5, "mae": 0.5, "spearman": None, "coverage": 0.9, "interval_width": 1.5}
    malignancy = {
        "nodules": 5,
        "malignant": 2,
        "patients": 4,
        "accuracy": 0.8,
        "brier": 0.12,
        "ece": 0.05,
        "auc": interval,
        "diameter_auc": interval,
        "features_auc": {"value": 0.95, "low": 0.91, "high": 0.98},
        "auc_minus_diameter": {"value": -0.05, "low": -0.1, "high": 0.01},
        "auc_minus_features": {"value": -0.05, "low": -0.1, "high": 0.01},
    }
    metrics = {"test": {"malignancy": malignancy, "targets": dict.fromkeys(TARGETS, row)}}
    card = model_card("run", RunConfig(), PROVENANCE, metrics)
    assert "| this run | 0.900 | 0.850 – 0.940 |" in card
    assert "| logistic regression on hand-made features | 0.950 | 0.910 – 0.980 |" in card
    assert "| sphericity | 5 | 0.500 | – | 0.900 | 1.500 |" in card


def test_the_source_is_cited_when_the_patients_are_of_lidc_idri():
    patients = PROVENANCE["patients"] | {"training": ["LIDC-IDRI-0001"]}
    assert "CC BY 3.0" in model_card("run", RunConfig(), PROVENANCE | {"patients": patients}, {})
    assert "CC BY 3.0" not in model_card("run", RunConfig(), PROVENANCE, {})


def test_a_run_of_one_axial_slice_says_so():
    assert "sees one axial slice" in model_card("run", RunConfig(views=ViewConfig(views=("axial",))), PROVENANCE, {})
    assert "sees one axial slice" not in model_card("run", RunConfig(), PROVENANCE, {})
