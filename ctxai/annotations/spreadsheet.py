"""CSV files as people's spreadsheets write them."""

from __future__ import annotations

import codecs
import contextlib
import csv
import re
from itertools import zip_longest
from pathlib import Path

from ctxai.errors import InputError

_DIVIDERS = ",;\t"
_DECIMAL_COMMA = re.compile(r"[-+]?[0-9]*,[0-9]+")
_EXCEL = b"PK\3\4"
_OLD_SLICER = "# Markups fiducial file"


def read_table(path: Path, expected: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Columns, in small letters, and every line that says something: its number in the file and its values by column.

    Columns may be divided by commas, semicolons or tabs. Where it is not commas, decimal commas become points.

    Args:
        path: the file; in UTF-8, UTF-16 or code page 1252.
        expected: the columns, for messages.

    Raises:
        InputError: when it is no such file, has a column twice, or a line has more values than there are columns.
    """
    lines = _text(path, expected).splitlines()
    heading = next((line for line in lines if line.strip()), "")
    divider = max(_DIVIDERS, key=heading.count)
    reader = csv.reader(lines, delimiter=divider, skipinitialspace=True, strict=True)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise _no_table(path, str(error), expected) from None
    if not rows:
        raise _no_table(path, "it is empty", expected)
    columns = [name.lower() for name in rows[0][1]]
    while columns[-1] == "":  # a divider at the end of each line
        columns.pop()
    if len(set(columns)) < len(columns):
        raise InputError(f"{path}: a column is there more than once; expected the columns {expected}")
    table = []
    for line, cells in rows[1:]:
        if any(cells[len(columns) :]):
            raise InputError(
                f"{path}, line {line}: {len(cells)} values for {len(columns)} columns; write decimal points, or divide "
                "the columns by semicolons"
            )
        if divider != ",":
            cells = [cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell for cell in cells]
        table.append((line, dict(zip_longest(columns, cells[: len(columns)], fillvalue=""))))
    return columns, table


def _text(path: Path, expected: str) -> str:
    """Text of a file in any common encoding."""
    content = path.read_bytes()
    if content.startswith(_EXCEL):
        raise _no_table(path, "it may be an Excel workbook: save it as CSV", expected)
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if wide else ("utf-8-sig", "cp1252"):
        with contextlib.suppress(UnicodeDecodeError):
            text = content.decode(encoding)
            break
    else:
        raise _no_table(path, "it is no text", expected)
    if "\0" in text:
        raise _no_table(path, "it is no text", expected)
    if text.startswith(_OLD_SLICER):
        raise _no_table(path, "it is Slicer's old format: save the list as .mrk.json", expected)
    return text


def _no_table(path: Path, reason: str, expected: str) -> InputError:
    return InputError(f"{path}: not a CSV file ({reason}); expected the columns {expected}")
