"""``ctxai verify``: a manifest, a store and a DICOM tree checked against each other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ctxai.errors import InputError, StoreError
from ctxai.files import sha256
from ctxai.folder_kinds import describe_kind
from ctxai.progress import console, track

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from ctxai.ct.header import SliceHeader

_PACKAGE = "datapackage.json"


def verify(
    manifest_dir: Path | None = None, /, *, store: Path | None = None, dicom: Path | None = None, voxels: bool = True
) -> None:
    """Check what was written: a manifest's checksums, a store's rows and voxels, a DICOM tree's images.

    Give any of the three; those given are also checked against each other. Every finding is one line on stderr, and
    the exit code is 2 when there is any.

    Args:
        manifest_dir: folder of a manifest (``data_manifests``, or what ``ctxai manifest`` wrote).
        store: nodule store.
        dicom: tree of DICOM files that the store was made from.
        voxels: read every patch of the store; --no-voxels only looks at its tables.
    """
    from ctxai.ct.search import find_series

    if manifest_dir is None and store is None and dicom is None:
        raise InputError("nothing to verify: give a manifest folder, --store or --dicom; see `ctxai verify --help`")
    findings: list[str] = []
    if manifest_dir is not None:
        findings += check_manifest(manifest_dir)
    if store is not None:
        findings += check_store(store, voxels)
    series: dict[str, list[SliceHeader]] = {}
    if dicom is not None:
        damaged: dict[Path, str] = {}
        with console.status("Reading DICOM headers"):
            series = find_series(dicom, damaged)
        findings += damaged.values()
    if store is not None and manifest_dir is not None:
        findings += check_store_against_manifest(store, manifest_dir)
    if store is not None and dicom is not None:
        findings += check_store_against_dicom(store, series)
    if manifest_dir is not None and dicom is not None:
        findings += check_dicom_against_manifest(series, manifest_dir)
    for finding in findings:
        console.print(finding, highlight=False, markup=False, soft_wrap=True)
    if findings:
        raise InputError(f"{len(findings)} finding(s)")
    console.print("verified: no finding", highlight=False)


def check_manifest(folder: Path) -> Iterator[str]:
    """Findings in a manifest: files that are missing, changed, or whose rows do not fit each other."""
    import pandas as pd

    file = folder / _PACKAGE
    if not file.is_file():
        kind = describe_kind(folder)
        yield f"{folder}: not the tables of a manifest (no {_PACKAGE}){kind}; make them with `ctxai manifest`"
        return
    try:
        resources = json.loads(file.read_text(encoding="utf-8"))["resources"]
        expected = {entry["path"]: entry["hash"].removeprefix("sha256:") for entry in resources}
        columns = {entry["path"]: [field["name"] for field in entry["schema"]["fields"]] for entry in resources}
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield f"{file}: not a readable data package ({type(error).__name__}: {error})"
        return
    tables: dict[str, pd.DataFrame] = {}
    for name, checksum in expected.items():
        path = folder / name
        if Path(name).name != name or not path.is_file():
            yield f"{path}: missing"
            continue
        if sha256(path) != checksum:
            yield f"{path}: its SHA-256 is not the one in {_PACKAGE}"
        tables[path.stem] = pd.read_csv(path, dtype=str, keep_default_na=False)
        if list(tables[path.stem].columns) != columns[name]:
            yield f"{path}: its columns are not those in {_PACKAGE}"
    links = [
        ("readings", "nodule_id", "nodules"),
        ("folds", "nodule_id", "nodules"),
        ("nodules", "series_uid", "scans"),
        ("nodules", "patient_id", "scans"),
    ]
    for child, column, parent in links:
        if {child, parent} <= tables.keys() and {column} <= set(tables[child]) & set(tables[parent]):
            lost = set(tables[child][column]) - set(tables[parent][column])
            if lost:
                yield f"{folder / f'{child}.csv'}: {len(lost)} {column} are not in {parent}.csv, first {min(lost)}"


def check_store(path: Path, voxels: bool = True) -> Iterator[str]:
    """Findings in a store: layout, unfinished series, tables that disagree, patches that are unreadable or empty."""
    import pandas as pd

    from ctxai.data.store import LAYOUT, NoduleStore

    try:
        store = NoduleStore(path)
        table = store.table
    except StoreError as error:
        yield str(error)
        return
    if len(table) != len(store):
        yield f"{path}: {len(table)} rows in its table, {len(store)} in {LAYOUT}"
        return
    yield from _check_parts(path, table)
    fault = table["fault"].fillna("") if "fault" in table else pd.Series("", index=table.index)
    if not voxels:
        return
    for row in track(range(len(store)), "Reading patches"):
        try:
            hu, agreement, valid = store.hu(row), store.agreement(row), store.valid(row)
        except StoreError as error:
            yield str(error)
            continue
        name = f"{path}: row {row} ({table.nodule_id[row]})"
        if fault[row]:
            if valid.any():
                yield f"{name}: holds voxels although it has the fault {fault[row]!r}"
        elif not valid.any():
            yield f"{name}: holds no scanned voxel and no fault"
        elif "n_readers" in table and agreement.max() > table.n_readers[row]:
            yield f"{name}: {agreement.max()} readers agree on a voxel, of {table.n_readers[row]}"
        elif hu.min() < -1024:
            yield f"{name}: {hu.min()} HU, expected at least -1024"


def _check_parts(path: Path, table: pd.DataFrame) -> Iterator[str]:
    """The manifest of the store, its part files and its table tell of the same rows."""
    import pandas as pd

    from ctxai.ingestion.bookkeeping import MANIFEST, PARTS, part_of

    file = path / MANIFEST
    if not file.is_file():
        return  # a collection of crops has neither
    rows = pd.read_csv(file)
    if list(rows.nodule_id) != list(table.nodule_id):
        yield f"{file}: its nodules are not those of the table, row by row"
        return
    for uid, group in rows.groupby("series_uid", sort=False):
        part = part_of(path, str(uid))
        try:
            records = json.loads(part.read_text())["rows"]
        except (OSError, ValueError, KeyError):
            yield f"{part}: missing or damaged; run the same `ctxai ingest` again"
            continue
        if [record["row"] for record in records] != list(group.index):
            yield f"{part}: tells of other rows than {MANIFEST}"
        elif [record["fault"] for record in records] != list(table.fault[group.index]):
            yield f"{part}: tells of other faults than the table; run `ctxai ingest --merge {path}`"
    unknown = {p.name for p in (path / PARTS).glob("[!.]*.json")} - {part_of(path, uid).name for uid in rows.series_uid}
    if unknown:
        yield f"{path / PARTS}: {len(unknown)} part(s) belong to no series of {MANIFEST}, first {min(unknown)}"


def check_store_against_manifest(path: Path, folder: Path) -> Iterator[str]:
    """Rows of the store that the manifest does not have, or has with other content."""
    import pandas as pd

    from ctxai.data.store import NoduleStore

    try:
        table = NoduleStore(path).table.set_index("nodule_id")
        nodules = pd.read_csv(folder / "nodules.csv").set_index("nodule_id")
        folds = pd.read_csv(folder / "folds.csv").set_index("nodule_id").fold
    except (StoreError, OSError, ValueError, KeyError):
        return  # told by the checks of each alone
    lost = table.index.difference(nodules.index)
    if len(lost):
        yield f"{path}: {len(lost)} nodule(s) are not in {folder / 'nodules.csv'}, first {lost[0]}"
    common = table.index.intersection(nodules.index)
    for name in ("series_uid", "patient_id", "n_readers", "diameter_mm", "malignancy_median", "label_malignancy"):
        differ = _differ(table.loc[common, name], nodules.loc[common, name])
        if differ.any():
            yield f"{path}: {name} of {differ.sum()} nodule(s) is not the manifest's, first {common[differ][0]}"
    with_fold = common.intersection(folds.index)
    differ = _differ(table.fold[with_fold], folds[with_fold])
    if differ.any():
        yield f"{path}: fold of {differ.sum()} nodule(s) is not the manifest's, first {with_fold[differ][0]}"


def check_store_against_dicom(path: Path, series: dict[str, list[SliceHeader]]) -> Iterator[str]:
    """Series of the store that the tree lacks, or whose images are others than those the store was made from."""
    import pandas as pd

    from ctxai.ingestion.bookkeeping import MANIFEST, part_of
    from ctxai.ingestion.extraction import image_digest, images_of

    file = path / MANIFEST
    if not file.is_file():
        return
    for uid in pd.read_csv(file).series_uid.unique():
        if uid not in series:
            yield f"{path}: the series {uid} is not in the DICOM tree"
            continue
        try:
            made_from = json.loads(part_of(path, uid).read_text())["images"]
        except (OSError, ValueError, KeyError):
            continue  # told by the check of the store
        images = images_of(series[uid])
        if len(images) != made_from["count"] or image_digest(images) != made_from["digest"]:
            yield f"{path}: the series {uid} was made from {made_from['count']} other image(s), {len(images)} found"


def check_dicom_against_manifest(series: dict[str, list[SliceHeader]], folder: Path) -> Iterator[str]:
    """Series of the manifest whose patient or positions differ in the tree; series that it does not know."""
    import numpy as np
    import pandas as pd

    try:
        scans = pd.read_csv(folder / "scans.csv").set_index("series_uid")
    except (OSError, ValueError, KeyError):
        return
    for uid, headers in series.items():
        if uid not in scans.index:
            yield f"{headers[0].source_label}: the series {uid} is not in {folder / 'scans.csv'}"
            continue
        scan = scans.loc[uid]
        if headers[0].patient_id != scan.patient_id:
            yield f"{headers[0].source_label}: its PatientID is not {scan.patient_id}, as the manifest has it"
        z = np.array([header.position[2] for header in headers if "LOCALIZER" not in header.image_type])
        if len(z) and (z.min() < scan.first_z_mm - 0.1 or z.max() > scan.last_z_mm + 0.1):
            yield (
                f"{headers[0].source_label}: slices from z {z.min():g} to {z.max():g} mm, the manifest has "
                f"{scan.first_z_mm:g} to {scan.last_z_mm:g} mm"
            )


def _differ(a: pd.Series, b: pd.Series) -> np.ndarray:
    """Where two columns differ; two empty cells are alike."""
    return ((a != b) & ~(a.isna() & b.isna())).to_numpy()
