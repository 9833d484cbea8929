"""Planted truth: what lies beside a nodule store whose labels were tied to evidence in a known place."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import zarr

from ctxai.data.store import NoduleStore
from ctxai.errors import StoreError
from ctxai.files import write_json

ARRAYS = "planted.zarr"
RECORD = "planted.json"

_DTYPES = {"evidence": np.uint8, "counterpart": np.int16}


class PlantedTruth:
    """The evidence of every nodule of a store, and the nodule's counterpart; rows and axes as in the store.

    - ``evidence`` uint8: 1 where the planted trait changes the voxel;
    - ``counterpart`` int16, Hounsfield units: the same nodule in the same lung under the same noise, without the trait
      where the nodule has it and with the trait where it has not.

    Args:
        store: the store that the truth belongs to.

    Raises:
        StoreError: when there is none beside it, or a damaged one.
    """

    def __init__(self, store: NoduleStore) -> None:
        self.store = store
        if not is_planted(store):
            raise StoreError(f"{store.path}: no planted truth (no {RECORD}); make such a store with `ctxai planted`")
        try:
            self.record: dict[str, Any] = json.loads((store.path / RECORD).read_text(encoding="utf-8"))
            group = zarr.open_group(store.path / ARRAYS, mode="r+")
            self._arrays: dict[str, Any] = {name: group[name] for name in _DTYPES}
        except (FileNotFoundError, KeyError, ValueError) as error:
            raise StoreError(f"{store.path / ARRAYS}: damaged planted truth ({error}); make the store again") from None

    @classmethod
    def create(cls, store: NoduleStore, record: dict[str, Any]) -> PlantedTruth:
        """Make empty arrays beside ``store``; ``record`` says what was planted and with which seed."""
        group = zarr.open_group(store.path / ARRAYS, mode="w", zarr_format=3)
        for name, dtype in _DTYPES.items():
            shape = (len(store), *store.patch_shape)
            group.create_array(name, shape=shape, chunks=(1, *store.patch_shape), dtype=dtype, fill_value=0)
        write_json(store.path / RECORD, record)
        return cls(store)

    @property
    def trait(self) -> str:
        """The trait that decides the label."""
        return str(self.record["trait"])

    def write(self, row: int, evidence: np.ndarray, counterpart: np.ndarray) -> None:
        """Write one nodule; each array (superior, posterior, left)."""
        self._arrays["evidence"][row] = evidence.astype(np.uint8)
        self._arrays["counterpart"][row] = counterpart.astype(np.int16)

    def evidence(self, row: int) -> np.ndarray:
        """Where the trait is, or would be, bool (superior, posterior, left)."""
        return self._arrays["evidence"][row].astype(bool)

    def counterpart(self, row: int) -> np.ndarray:
        """Hounsfield units of the counterpart, int16 (superior, posterior, left)."""
        return self._arrays["counterpart"][row]


def is_planted(store: NoduleStore) -> bool:
    """Whether planted truth lies beside the store."""
    return (store.path / RECORD).is_file()
