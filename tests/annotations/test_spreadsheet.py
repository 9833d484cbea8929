import pytest

from ctxai.annotations.spreadsheet import read_table
from ctxai.errors import InputError


def table(tmp_path, content):
    path = tmp_path / "sheet.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path, "a,b")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("divider", [",", ";", "\t"])
def test_the_sheets_of_all_spreadsheets_say_the_same(tmp_path, encoding, divider):
    text = "A,b,Größe\r\n1.5,2,\r\n,,\r\n\r\n3,4,groß\r\n".replace(",", divider)
    columns, rows = table(tmp_path, text.encode(encoding))
    assert columns == ["a", "b", "größe"]
    assert rows == [(2, {"a": "1.5", "b": "2", "größe": ""}), (5, {"a": "3", "b": "4", "größe": "groß"})]


def test_decimal_commas_are_points_and_commas_in_words_stay(tmp_path):
    assert table(tmp_path, "a;b\n-1,25;big, white\n")[1] == [(2, {"a": "-1.25", "b": "big, white"})]


def test_a_comma_in_quotes_is_no_divider(tmp_path):
    assert table(tmp_path, 'a,b\n1,"big, white"\n')[1] == [(2, {"a": "1", "b": "big, white"})]


def test_short_lines_are_filled_and_dividers_at_the_end_are_no_columns(tmp_path):
    assert table(tmp_path, "a,b,,\n1,,,\n2\n") == (["a", "b"], [(2, {"a": "1", "b": ""}), (3, {"a": "2", "b": ""})])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "it is empty"),
        ("\n\n", "it is empty"),
        (b"PK\3\4 and more", "Excel workbook: save it as CSV"),
        ("# Markups fiducial file version = 5.6\n", r"Slicer's old format: save the list as .mrk.json"),
        (b"a,b\n\0\0", "it is no text"),
        (b"\xff\xfea", "it is no text"),
        (b"\x81\x8d", "it is no text"),
        ("a,b,A\n1,2,3\n", "more than once"),
        ('a,b\n1,"begun\n2,3\n', "not a CSV file"),
        ("a,b\n1,2,3\n", "line 2: 3 values for 2 columns"),
        ("a,b\n" + "x" * 200_000, "not a CSV file"),
    ],
)
def test_what_is_no_table_is_refused_with_the_reason(tmp_path, content, words):
    with pytest.raises(InputError, match=words) as raised:
        table(tmp_path, content)
    assert "\n" not in str(raised.value)
