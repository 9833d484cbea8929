import re

import pytest
from predictions_table import predictions

from ctxai.evaluate.predictions.evaluation import evaluate_predictions
from ctxai.evaluate.predictions.plots import write_plots
from ctxai.report.evaluation import write_evaluation_report


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a made-up evaluation, and its metrics."""
    folder = tmp_path_factory.mktemp("evaluation")
    table = predictions().assign(
        resnet18_score=lambda t: t["malignancy_logit"] - t["diameter_mm"],
        called_youden=lambda t: (t["malignancy_logit"] > 0).astype(int),
        malignancy_ratings="3|4|5",
        manufacturer="<A & B>",
    )
    metrics = {"test": evaluate_predictions(table, resamples=20), "validation": {"thresholds": {"youden": 0.4321}}}
    write_plots(table, metrics["test"], folder)
    write_evaluation_report(folder / "page.html", "a <run>", metrics, folder)
    return (folder / "page.html").read_text(encoding="utf-8"), metrics["test"]


def test_every_part_of_an_evaluation_is_on_the_page(page):
    text, metrics = page
    headings = re.findall("<h2>(.*?)</h2>", text)
    assert headings == [
        "Malignant against benign",
        "Decisions",
        "Calibration",
        "Ratings, beside the readers' own disagreement",
        "Subgroups",
        "What a rating is not",
    ]
    assert text.count("data:image/png;base64,") == 4
    area = metrics["malignancy"]["auc"]
    assert f"{area['value']:.3f} <small>({area['low']:.3f} to {area['high']:.3f})</small>" in text
    assert "ResNet-18 from scratch" in text and "0.432" in text


def test_the_page_needs_no_network_and_trusts_no_name(page):
    text, _ = page
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", text)
    assert "&lt;A &amp; B&gt;" in text and "<A & B>" not in text and "a &lt;run&gt;" in text


def test_numbers_below_zero_have_a_minus_sign(page):
    text, metrics = page
    difference = metrics["targets"]["malignancy"]["readers"]["difference"]["mae"]["value"]
    shown = f"{difference:+.3f}".replace("-", "−")
    assert shown in text


def test_a_run_of_biomarkers_alone_has_a_page_too(tmp_path):
    table = predictions()[["patient_id", "label_malignancy", "margin", "margin_low", "margin_high", "margin_readers"]]
    write_evaluation_report(tmp_path / "page.html", "run", {"test": evaluate_predictions(table, resamples=5)}, tmp_path)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Decisions" not in text and "margin" in text
