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
    assert text.count('<td data-value="">–</td>') == 3  # prediction, readers, difference
