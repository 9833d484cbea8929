from ctxai.report.cohort_table import cohort_table

from .result_folders import row


def test_a_line_carries_what_it_is_sorted_and_filtered_by():
    text = cohort_table([row(), row("LIDC-IDRI-0002-01", malignancy=1.5, in_sample=True)], ["#a", "b/report.html#b"])
    first, second = text.split("<tr data-text")[1:]
    assert 'data-kinds="outside suspicious"' in first
    assert 'data-value="3.21">3.2' in first
    assert 'data-value="4.75">4.8' in first
    assert "−1.5" in first
    assert 'href="b/report.html#b"' in second
    assert 'data-kinds="doubt outside"' in second
    assert "2 of 2 nodules" in text


def test_what_is_not_known_has_no_value_to_sort_by():
    text = cohort_table([row(readers_malignancy=None, n_readers=0, malignancy=None)], ["#a"])
    assert text.count(' data-value="">–</td>') == 3  # prediction, readers, difference


def test_warnings_of_the_number_and_of_the_maps_are_counted_apart_and_an_unchecked_map_is_no_pass():
    text = cohort_table(
        [
            row(),
            row("new", novelty_percentile=99.9, cdam_malignancy_inside=0.01),
            row("bare", cdam_malignancy_inside=None),
        ],
        ["#a", "#b", "#c"],
    )
    good, new, bare = text.split("<tr data-text")[1:]
    assert ">usable</td>" in good and ">no doubt</td>" in good
    assert 'class="doubt">do not use</td>' in new and 'class="doubt">1 of 1 in doubt</td>' in new
    assert ">usable</td>" in bare and ">not checked</td>" in bare


def test_a_diameter_tells_who_measured_it():
    by = [row(), row(n_readers=0), row(n_readers=0, diameter_mm=None)]
    lines = cohort_table(by, ["#"] * 3).split("<tr data-text")[1:]
    assert all(f">{who}</td>" in line for line, who in zip(lines, ("readers", "given", "model"), strict=True))
