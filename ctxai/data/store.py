"""NoduleStore: the voxels of a cohort's nodules (Zarr v3) beside the table that describes them (Parquet)."""

from __future__ import annotations

import errno
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

from ctxai.errors import StoreError
from ctxai.files import atomic_path, explain_os_errors, write_json
from ctxai.folder_kinds import STORE, describe_kind, refuse_foreign

ARRAYS = "patches.zarr"
TABLE = "nodules.parquet"
LAYOUT = "layout.json"

_DTYPES = {"hu": np.int16, "agreement": np.uint8, "valid": np.uint8}
#: What zarr, its codecs and pandas raise on damaged descriptions and chunks.
_DAMAGE = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class NoduleStore:
    """One patch per nodule, row by row.

    Arrays, each (nodule, superior, posterior, left) in the patient's own axes, one chunk per nodule:

    - ``hu`` int16, Hounsfield units;
    - ``agreement`` uint8, how many readers include the voxel;
    - ``valid`` uint8, 1 where the voxel was really scanned, 0 where it is padding.

    The first patch axis may be 1 deep, for collections of 2-D crops. Different rows never share a file, so that
    several processes may create the store and write different rows at once.

    Args:
        path: folder of the store.

    Raises:
        StoreError: when there is no store, or a damaged one.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        layout = _read_layout(self.path)
        try:
            self.patch_shape: tuple[int, int, int] = tuple(layout["patch_shape"])
            self.spacing_mm: float = float(layout["spacing_mm"])
            group = zarr.open_group(self.path / ARRAYS, mode="r+", zarr_format=3)
            self._arrays: dict[str, Any] = {name: group[name] for name in _DTYPES}
            found = {name: (array.shape, array.chunks, array.dtype) for name, array in self._arrays.items()}
            shapes = (layout["rows"], *self.patch_shape), (1, *self.patch_shape)
            expected = {name: (*shapes, dtype) for name, dtype in _DTYPES.items()}
        except (FileNotFoundError, *_DAMAGE) as error:
            raise _damaged(self.path, error) from None
        if found != expected:
            raise _damaged(self.path, f"its arrays {found} do not fit its {LAYOUT}")

    @classmethod
    def create(
        cls,
        path: Path | str,
        rows: int,
        patch_shape: Sequence[int] = (64, 64, 64),
        spacing_mm: float = 1.0,
    ) -> NoduleStore:
        """Make an empty store for ``rows`` nodules.

        Args:
            path: folder to make; an existing store of the same layout is opened instead.
            rows: number of nodules, the rows of the manifest.
            patch_shape: voxels (superior, posterior, left).
            spacing_mm: isotropic voxel size.

        Raises:
            StoreError: when another layout is already there.
            InputError: when a table of somebody else is there.
        """
        path = Path(path)
        refuse_foreign(path, STORE, [TABLE])
        layout = {"rows": rows, "patch_shape": list(patch_shape), "spacing_mm": spacing_mm, "axes": "nodule,S,P,L"}
        if not (path / LAYOUT).is_file():
            with explain_os_errors(path):
                _create_arrays(path / ARRAYS, (rows, *patch_shape))
                write_json(path / LAYOUT, layout)  # last: a store without it is not a store
        found = _read_layout(path)
        if found != layout:
            raise StoreError(
                f"{path}: holds a store of another layout (found {found}, expected {layout}); "
                "give an empty folder or remove it"
            )
        return cls(path)

    def __len__(self) -> int:
        return int(self._arrays["hu"].shape[0])

    def write(self, row: int, hu: np.ndarray, agreement: np.ndarray, valid: np.ndarray) -> None:
        """Write one nodule; each array (superior, posterior, left) of the store's patch shape."""
        for name, value in (("hu", hu), ("agreement", agreement), ("valid", valid)):
            if value.shape != self.patch_shape:
                raise StoreError(f"{self.path}: {name} of row {row} is {value.shape}, expected {self.patch_shape}")
            self._arrays[name][row] = value.astype(_DTYPES[name], copy=False)

    def hu(self, row: int) -> np.ndarray:
        """Hounsfield units of one nodule, int16 (superior, posterior, left)."""
        return self._read("hu", row)

    def agreement(self, row: int) -> np.ndarray:
        """How many readers include each voxel, uint8 (superior, posterior, left)."""
        return self._read("agreement", row)

    def valid(self, row: int) -> np.ndarray:
        """Where the CT was really scanned, bool (superior, posterior, left)."""
        return self._read("valid", row).astype(bool)

    def _read(self, name: str, row: int) -> np.ndarray:
        try:
            return self._arrays[name][row]
        except _DAMAGE as error:
            raise StoreError(
                f"{self.path}: {name} of row {row} cannot be read ({error}); run `ctxai ingest --no-resume` on it"
            ) from None

    def write_table(self, table: pd.DataFrame) -> None:
        """Write ``nodules.parquet``: one row per nodule, in the order of the arrays."""
        if len(table) != len(self):
            raise StoreError(f"{self.path}: a table of {len(table)} rows for {len(self)} nodules")
        with atomic_path(self.path / TABLE) as temporary:
            pq.write_table(pa.Table.from_pandas(table, preserve_index=False), temporary, write_page_checksum=True)

    @property
    def table(self) -> pd.DataFrame:
        """The rows of ``nodules.parquet``, in the order of the arrays.

        Raises:
            StoreError: when ingestion has not finished, or the file is damaged.
        """
        file = self.path / TABLE
        if not file.is_file():
            raise StoreError(f"{self.path}: ingestion is not finished (no {TABLE}); run `ctxai ingest --merge` on it")
        try:
            return pd.read_parquet(file, page_checksum_verification=True)
        except (pa.ArrowException, OSError, *_DAMAGE) as error:
            raise StoreError(f"{file}: damaged ({error}); run `ctxai ingest --merge {self.path}` again") from None


def _create_arrays(target: Path, shape: tuple[int, ...]) -> None:
    """Make the empty arrays; of several processes that do so at once, one succeeds and the others take its arrays."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial.", dir=target.parent) as temporary:
        made = Path(temporary, target.name)
        group = zarr.open_group(made, mode="w", zarr_format=3)
        for name, dtype in _DTYPES.items():
            group.create_array(
                name,
                shape=shape,
                chunks=(1, *shape[1:]),
                dtype=dtype,
                compressors=(
                    BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"),
                    Crc32cCodec(),  # a flipped bit is an error, not another voxel
                ),
                fill_value=0,
                config={"write_empty_chunks": True},
            )
        try:
            made.rename(target)  # refused by the system where the target is there and not empty
        except OSError as error:
            if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
                raise


def _read_layout(path: Path) -> dict[str, Any]:
    file = path / LAYOUT
    if not file.is_file():
        raise StoreError(f"{path}: not a nodule store (no {LAYOUT}){describe_kind(path)}; make one with `ctxai ingest`")
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except _DAMAGE as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, reason: object) -> StoreError:
    return StoreError(f"{path}: damaged store ({reason}); remove it and run `ctxai ingest` again")
