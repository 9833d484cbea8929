import re

import pytest

from ctxai.report.ratings import interval_plot, outside_interval, rating_table, scale_of

from .result_folders import row


def places(svg):
    """x of the interval's ends, the prediction and the readers' mean, as shares of the axis."""
    start, end = map(float, re.search(r'class="axis" d="M([\d.]+) 11H([\d.]+)"', svg).groups())
    low, high = map(float, re.search(r'class="interval" d="M([\d.]+) 11H([\d.]+)"', svg).groups())
    dot = float(re.search(r'class="predicted" cx="([\d.]+)"', svg).group(1))
    readers = float(re.search(r'class="readers" d="M([\d.]+) ', svg).group(1))
    return [(x - start) / (end - start) for x in (low, dot, high, readers)]


def test_interval_prediction_and_readers_stand_at_their_place_on_the_scale():
    svg = interval_plot(
        row(malignancy_low=1.0, malignancy=2.0, malignancy_high=4.0, readers_malignancy=5.0), "malignancy"
    )
    assert places(svg) == pytest.approx([0, 0.25, 0.75, 1], abs=1e-3)


def test_an_open_interval_reaches_the_end_of_the_scale():
    svg = interval_plot(row(malignancy_low=2.0, malignancy=3.0, malignancy_high=None), "malignancy")
    assert places(svg)[:3] == pytest.approx([0.25, 0.5, 1], abs=1e-3)


def test_the_scale_of_the_diameter_holds_everything_that_is_drawn():
    assert scale_of(row(diameter_high=12.0), "diameter") == (0, 30)
    assert scale_of(row(diameter_high=47.0), "diameter") == (0, 50)
    assert scale_of(row(), "calcification") == (1, 6)


def test_the_table_says_the_same_in_numbers_and_a_dash_for_what_is_not_known():
    text = rating_table(row(malignancy_high=None, readers_malignancy=None))
    assert "<td>3.2</td><td>2.1 to –</td><td>–</td>" in text
    assert "<td>9.9</td>" not in text  # outside the interval, so it is marked
    assert 'title="outside the interval">9.9</td>' in text
    assert "1 highly unlikely" in text
    assert "5 highly suspicious" in text


def test_readers_outside_the_interval_are_told_from_those_inside_and_from_none():
    assert outside_interval(row(), "malignancy")
    assert not outside_interval(row(readers_malignancy=4.0), "malignancy")
    assert not outside_interval(row(readers_malignancy=None), "malignancy")
    assert not outside_interval(row(malignancy_high=None), "malignancy")


def test_the_diameter_of_a_point_is_not_the_readers():
    assert "9.9" not in rating_table(row(n_readers=0, readers_malignancy=None))
