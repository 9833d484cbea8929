import pytest

from ctxai.inference.summary import summarise_nodule

from made_up_readings import marked, outlined, row, scan


def test_the_summary_of_a_nodule_is_its_row_of_the_table(tmp_path):
    series = scan(tmp_path / "ct")
    read_nodule = outlined(series)
    said = summarise_nodule(
        series,
        read_nodule,
        row(
            diameter=9.0,
            diameter_low=None,
            diameter_high=None,
            diameter_spread=0.8,
            diameter_mm=7.0,
            novelty_percentile=40.0,
            cdam_malignancy_fidelity=0.5,
            cdam_malignancy_fidelity_percentile=97.5,
            cdam_malignancy_stability=None,
            cdam_malignancy_sanity=True,
            cdam_malignancy_inside=float("nan"),
        ),
    )
    malignancy, diameter = said.estimates
    assert (malignancy.value, malignancy.low, malignancy.high, malignancy.readers) == (3.25, 2.0, 4.5, 3.0)
    assert (diameter.value, diameter.low, diameter.readers) == (9.0, None, 7.0)
    assert (malignancy.spread, diameter.spread) == (None, 0.8)
    assert {figure.name: figure.value for figure in said.figures} == {
        "Probability of a median rating over 3": 0.6,
        "Training nodules less unusual than this one": 0.4,
        "cdam malignancy: random maps it beats": 0.975,
        "cdam malignancy: fidelity, 0 knows nothing": 0.5,
        "cdam malignancy: depends on the weights": 1.0,
    }
    assert said.ratings == read_nodule.candidate.readings
    assert said.doubts == ()
    consensus = read_nodule.candidate.masks.consensus()
    assert said.volume_mm3 == pytest.approx(consensus.sum() * 2.0)
    assert said.outline.drawn


def test_a_mere_point_and_a_table_without_trust_are_summarised_too(tmp_path):
    series = scan(tmp_path / "ct")
    marked_nodule = marked(series)
    said = summarise_nodule(series, marked_nodule, row(in_sample=True, readers_malignancy=None))
    assert [figure.name for figure in said.figures] == ["Probability of a median rating over 3"]
    assert said.volume_mm3 is None
    assert said.ratings == ()
    assert not said.outline.drawn
    assert said.outline.slice_index == 3
    assert "seen in training" in said.doubts[0].reason
