"""Nodule stores of which a bit has flipped or a description lies."""

from __future__ import annotations

import json
from pathlib import Path

from faults.inputs import Inputs
from faults.promises import REFUSED, Faults

FAULTS = Faults()


def _flip_a_bit(path: Path, place: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(place * (len(data) - 1))] ^= 0x10
    path.write_bytes(data)


def _store_file(label: str, pattern: str, words: str, place: float = 0.5) -> None:
    def damage(i: Inputs) -> None:
        _flip_a_bit(next(path for path in sorted((i.folder / "store").glob(pattern)) if path.is_file()), place)

    damage.__name__ = f"flipped_bit_in_{label}"
    FAULTS.case(verify=(REFUSED, words))(damage)


for _name in ("hu", "agreement", "valid"):
    _store_file(f"a_patch_of_{_name}", f"patches.zarr/{_name}/c/3/0/0/0", f"{_name} of row 3 cannot be read")
_store_file("a_checksum", "patches.zarr/hu/c/3/0/0/0", "hu of row 3 cannot be read", 1.0)
_store_file("the_arrays_description", "patches.zarr/hu/zarr.json", "damaged", 0.0)
_store_file("the_group", "patches.zarr/zarr.json", "damaged", 0.0)
_store_file("the_layout", "layout.json", "damaged", 0.0)
_store_file("the_table", "nodules.parquet", "damaged", 0.02)
_store_file("the_tables_end", "nodules.parquet", "damaged", 1.0)


@FAULTS.case(verify=(REFUSED, "damaged"))
def layout_that_is_a_list(i: Inputs) -> None:
    (i.folder / "store" / "layout.json").write_text(json.dumps([1]))


@FAULTS.case(verify=(REFUSED, "damaged"))
def layout_of_a_thousand_million_rows(i: Inputs) -> None:
    path = i.folder / "store" / "layout.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rows": 10**9}))
