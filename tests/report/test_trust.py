import pytest

from ctxai.report.trust import Level, map_trust, warnings_of

from .result_folders import row

GOOD = {
    "cdam_malignancy_fidelity": 0.31,
    "cdam_malignancy_fidelity_percentile": 99.0,
    "cdam_malignancy_stability": 0.93,
    "cdam_malignancy_sanity": True,
}


def test_a_map_that_passes_every_check_has_figures_and_no_warning():
    trust = map_trust(row(**GOOD), "cdam_malignancy")
    assert len(trust.figures) == 5
    assert all(figure.meaning for figure in trust.figures)
    assert trust.warnings == ()


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("inside", 0.1, "by chance"),
        ("fidelity_percentile", 60.0, "above that of 60% of random maps"),
        ("stability", 0.2, "noise"),
        ("sanity", False, "shuffled weights"),
    ],
)
def test_each_failed_check_is_a_warning_of_its_own(column, value, words):
    (warning,) = map_trust(row(**GOOD | {f"cdam_malignancy_{column}": value}), "cdam_malignancy").warnings
    assert words in warning


def test_figures_that_are_absent_are_not_judged():
    trust = map_trust({}, "cdam_malignancy")
    assert (trust.figures, trust.warnings) == ((), ())


def test_a_prediction_is_doubted_for_known_patients_novel_nodules_and_untrained_views():
    assert warnings_of(row(novelty_percentile=50.0)) == []
    assert "seen in training" in warnings_of(row(in_sample=True))[0].text
    assert "unlike the training nodules" in warnings_of(row(novelty_percentile=99.5))[0].text
    assert "coronal" in warnings_of(row(untrained_views="coronal"))[0].text


@pytest.mark.parametrize(
    ("figures", "level", "words"),
    [
        ({"nodule_at_mark": 0.4}, Level.NUMBER, "no nodule at the mark"),
        ({"roundness": 0.02}, Level.NUMBER, "a vessel"),
        ({"outline_at_border": 0.8, "diameter": 14.0}, Level.NUMBER, "Mark the middle of the nodule again"),
        ({"outline_off_centre_mm": 6.0}, Level.NUMBER, "Mark the middle of the nodule again"),
        ({"outline_off_centre_mm": 6.0, "outline_at_border": 0.8, "diameter": 33.0}, Level.NUMBER, "Mark the middle"),
        ({"outline_at_border": 0.8, "diameter": 33.0}, Level.NOTE, "the part beyond"),
    ],
)
def test_a_mark_on_something_else_or_on_a_part_is_warned_of(figures, level, words):
    calm = {"nodule_at_mark": 0.95, "roundness": 0.5, "outline_at_border": 0.01, "diameter": 9.0}
    calm |= {"outline_off_centre_mm": 0.4}
    assert warnings_of(row(**calm)) == []
    (found,) = warnings_of(row(**calm | figures))
    assert found.level == level and words in found.text


def test_warnings_have_three_levels_and_the_gravest_stands_first():
    found = warnings_of(row(in_sample=True, novelty_percentile=99.5, untrained_views="coronal"))
    assert [one.level for one in found] == [Level.NUMBER, Level.MAP, Level.NOTE]
