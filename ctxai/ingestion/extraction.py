"""The nodules of one CT cut out and put in the store: what every source of nodules shares."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ctxai.ct.geometry import GeometryRules
from ctxai.ct.header import SliceHeader
from ctxai.ct.mask import VoxelMask
from ctxai.ct.metaimage import MetaImage
from ctxai.ct.patch import Volume, extract_patch
from ctxai.ct.series import CTSeries
from ctxai.errors import InputError
from ctxai.files import write_json
from ctxai.lidc.agreement import agreement_on, mask_on
from ctxai.lidc.annotations import outlines_covered
from ctxai.lidc.consensus import reader_masks
from ctxai.lidc.database import Nodule

if TYPE_CHECKING:
    from ctxai.data.store import NoduleStore

#: A CT as ingestion finds it: the headers of its slices, or the file of a MetaImage.
Source = list[SliceHeader] | Path


def open_volume(source: Source, rules: GeometryRules) -> Volume:
    """Open a CT; no pixels are read yet.

    Raises:
        InputError: when it has a fault that the rules do not repair.
    """
    return MetaImage(source) if isinstance(source, Path) else CTSeries(source, rules)


def ingest_series(
    store_dir: Path,
    rows: pd.DataFrame,
    source: Source,
    nodules: tuple[Nodule, ...],
    part: Path,
    digest: str,
    rules: GeometryRules,
    masks: Mapping[str, VoxelMask] | None = None,
) -> None:
    """Write the patches of one CT, then the part file that says so.

    Args:
        store_dir: the store.
        rows: rows of the manifest that belong to this CT; their index is their row in the store.
        source: the CT.
        nodules: the outlined nodules that the rows name; rows with x, y and z (LPS mm) need none.
        part: file to write last.
        digest: what the part depends on.
        rules: which faults are repaired.
        masks: voxels of nodules that have such, by name.
    """
    from ctxai.data.store import NoduleStore  # here: Zarr, which explaining does without

    store = NoduleStore(store_dir)
    by_id = {nodule.nodule_id: nodule for nodule in nodules}
    volume: Volume | None = None
    fault = ""
    try:
        volume = open_volume(source, rules)
    except InputError as error:
        fault = without_source_label(error, source)
    records: list[dict[str, object]] = []
    for row, nodule_id in zip(rows.index, rows.nodule_id, strict=True):
        record = dict(row=row, x=np.nan, y=np.nan, z=np.nan, slice_spacing_mm=np.nan, slice_thickness_mm=np.nan)
        record |= {"manufacturer": "", "fault": fault, "repairs": ""}
        if volume is not None:
            record["manufacturer"] = volume.manufacturer
            record["slice_thickness_mm"] = volume.slice_thickness_mm
            record["slice_spacing_mm"] = round(float(volume.grid.spacing_mm[2]), 6)
            given = rows.loc[row, ["x", "y", "z"]].to_numpy(float) if "x" in rows.columns else None
            record |= _ingest_nodule(
                store, row, volume, source, by_id.get(nodule_id), given, (masks or {}).get(nodule_id)
            )
        records.append({k: None if isinstance(v, float) and np.isnan(v) else v for k, v in record.items()})
    images = images_of(source)
    made_from = {"count": len(images), "digest": image_digest(images)}
    write_json(part, {"digest": digest, "images": made_from, "rows": records})


def images_of(source: Source) -> set[str]:
    """Digests of a series' headers, one for each image, or the name of a MetaImage file."""
    return {source.name} if isinstance(source, Path) else {header.fingerprint for header in source}


def image_digest(images: set[str]) -> str:
    """SHA-256 of the images that a part was made from, in any order."""
    return hashlib.sha256("\n".join(sorted(images)).encode()).hexdigest()


def _ingest_nodule(
    store: NoduleStore,
    row: int,
    volume: Volume,
    source: Source,
    nodule: Nodule | None,
    given: np.ndarray | None,
    mask: VoxelMask | None,
) -> dict[str, object]:
    """Write one patch; returns its centre (LPS mm) and repairs, or the fault that prevented it."""
    masks = None
    centre = np.full(3, np.nan) if given is None else given
    if nodule is not None:
        if not outlines_covered(nodule, volume.slice_z_mm):
            return {"fault": _uncovered(nodule, volume.slice_z_mm)}
        masks = reader_masks(nodule, volume.slice_z_mm)
        index = masks.centre_index()
        index[0] = np.interp(index[0], np.arange(len(volume.slice_coordinates)), volume.slice_coordinates)
        centre = volume.grid.to_lps(index[::-1])
    volume.pixel_faults.clear()
    try:
        patch = extract_patch(volume, centre, store.patch_shape, store.spacing_mm)
    except InputError as error:
        return {"fault": without_source_label(error, source)}
    agreement = np.zeros(store.patch_shape, np.uint8)
    if masks is not None:
        agreement = agreement_on(masks, volume.grid, patch.grid, None if volume.regular else volume.slice_coordinates)
    elif mask is not None and (inside := mask_on(mask, patch.grid)) is not None:
        box = tuple(slice(first, first + n) for first, n in zip(inside.start, inside.masks.shape[1:], strict=True))
        agreement[box] = inside.agreement
    store.write(row, patch.hu, agreement, patch.valid)
    repairs = "; ".join(filter(None, [volume.report.repairs, *sorted(volume.pixel_faults)]))
    x, y, z = (round(float(value), 4) for value in centre)
    return {"x": x, "y": y, "z": z, "repairs": repairs}


def without_source_label(error: InputError, source: Source) -> str:
    """The error without the folder of the CT: the same bytes wherever the tree lies."""
    label = str(source.parent if isinstance(source, Path) else source[0].source_label)
    text = str(error).removeprefix(f"{label}: ").removeprefix(f"{label}, ").replace(f"{label}/", "")
    return text.replace(label, "its folder")


def _uncovered(nodule: Nodule, slice_z_mm: np.ndarray) -> str:
    z = np.array([contour.z_mm for reading in nodule.readings for contour in reading.contours])
    within = z.min() >= slice_z_mm.min() - 1e-3 and z.max() <= slice_z_mm.max() + 1e-3
    return "missing slice: an outline lies on it" if within else "outlines outside the scanned range"
