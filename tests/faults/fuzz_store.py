"""The fuzzed reader of a nodule store."""

from __future__ import annotations

import functools
import io
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from ctxai.data.store import ARRAYS, LAYOUT, TABLE, NoduleStore

_FILES = (LAYOUT, TABLE, f"{ARRAYS}/zarr.json", f"{ARRAYS}/hu/zarr.json", f"{ARRAYS}/hu/c/0/0/0/0")


@functools.cache
def _sound_store() -> dict[str, bytes]:
    """The files of a store of one tiny nodule, by their places in it."""
    with tempfile.TemporaryDirectory(prefix="ctxai-fuzz-") as folder:
        store = NoduleStore.create(Path(folder, "store"), 1, (2, 3, 4))
        patch = np.arange(24).reshape(2, 3, 4)
        store.write(0, patch.astype(np.int16), patch.astype(np.uint8), patch.astype(np.uint8))
        store.write_table(pd.DataFrame({"nodule_id": ["a"], "x": [1.5]}))
        files = [path for path in store.path.rglob("*") if path.is_file()]
        return {path.relative_to(store.path).as_posix(): path.read_bytes() for path in files}


@functools.cache
def _sound_folder(folder: Path) -> Path:
    """The store in a folder, written once."""
    for name, content in _sound_store().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def store(data: bytes, folder: Path) -> None:
    """A store, one file of which (the first byte says which) holds other bytes: its table and its patch."""
    if not data:
        return
    name = _FILES[data[0] % len(_FILES)]
    path = _sound_folder(folder) / name
    path.write_bytes(data[1:])
    try:
        found = NoduleStore(folder)
        len(found.table)
        found.hu(0)
    finally:
        path.write_bytes(_sound_store()[name])


def store_files() -> list[bytes]:
    """Every kind of file of a store; its table without checksums, too."""
    file = io.BytesIO()
    pd.DataFrame({"nodule_id": ["a"]}).to_parquet(file, compression=None)
    seeds = [bytes([place]) + _sound_store()[name] for place, name in enumerate(_FILES)]
    return [*seeds, bytes([_FILES.index(TABLE)]) + file.getvalue()]
