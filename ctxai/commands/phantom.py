"""``ctxai phantom``: a synthetic LIDC-IDRI tree."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, Token

from ctxai.errors import InputError
from ctxai.files import refuse_links, write_json
from ctxai.folder_kinds import PHANTOM, refuse_to_replace
from ctxai.progress import run_jobs

if TYPE_CHECKING:
    from ctxai.lidc.database import LidcDatabase, Nodule, Scan

_RECORD = "phantom.json"
_LAYOUT = 1


def _count_or_ids(kind: object, tokens: Sequence[Token]) -> int | list[str]:
    """A single number is a count; 0515 is none, but an id cut short."""
    values = [token.value for token in tokens]
    return int(values[0]) if len(values) == 1 and re.fullmatch("0|[1-9][0-9]*", values[0]) else values


def phantom(
    out_dir: Path,
    /,
    *,
    patients: Annotated[int | list[str] | None, Parameter(converter=_count_or_ids)] = None,
    seed: int = 0,
    margin_mm: float = 16.0,
    planted: str | None = None,
    workers: int = 0,
    resume: bool = True,
) -> None:
    """Write a synthetic LIDC-IDRI: CT series of real patients' geometry, drawn from the radiologists' outlines.

    No patient's image is in it. Each series has the UIDs, slice positions and pixel spacing of the real one, for the
    slices round its nodules, and every nodule lies where its readers drew it and looks as they rated it. Every object
    says that it is synthetic. A killed run goes on where it stopped and ends with the same bytes.

    Args:
        out_dir: root of the tree, OUT_DIR/PATIENT/STUDY/synthetic-SERIES; a new folder, or one of this command.
        patients: how many patients (a balanced choice by the seed; 100 by default), or their ids.
        seed: the same seed gives the same bytes.
        margin_mm: how far the slices reach beyond the nodules.
        planted: draw only this trait from the ratings (texture, margin, spiculation, lobulation, calcification or
            subtlety), the others as in a typical nodule: ground truth for what an explanation must find.
        workers: processes; 0 works in this one.
        resume: keep the series that are already there; false makes them again.
    """
    from ctxai.lidc.database import LidcDatabase
    from ctxai.phantom import series_folder
    from ctxai.phantom.nodule.traits import check_trait

    check_trait(planted)
    if margin_mm < 0:
        raise InputError(f"--margin_mm {margin_mm:g}: expected millimetres, 0 or more")
    database = LidcDatabase()
    chosen = _choose(database, patients, seed, margin_mm)
    _open_tree(out_dir, {"layout": _LAYOUT, "seed": seed, "margin_mm": margin_mm, "planted": planted})
    places = [series_folder(scan, out_dir) for scan, _ in chosen]
    for place in places:
        refuse_links(out_dir, place.relative_to(out_dir).as_posix())
    if not resume:
        folders = [place for place in places if place.exists()]
        for folder in folders:
            _check_drawn(folder)
        for folder in folders:
            shutil.rmtree(folder)
    jobs = [(scan, nodules, out_dir, seed, margin_mm, planted) for scan, nodules in chosen]
    for _ in run_jobs(_make, jobs, "Drawing CT series", workers):
        pass


def _make(
    scan: Scan, nodules: tuple[Nodule, ...], out_dir: Path, seed: int, margin_mm: float, planted: str | None
) -> Path:
    from ctxai.phantom import make_series

    return make_series(scan, nodules, out_dir, seed=seed, margin_mm=margin_mm, planted=planted)


def _choose(
    database: LidcDatabase, patients: int | list[str] | None, seed: int, margin_mm: float
) -> list[tuple[Scan, tuple[Nodule, ...]]]:
    from ctxai.phantom.demo import demo_cohort

    if patients is None or isinstance(patients, int):
        return demo_cohort(database, 100 if patients is None else patients, seed, margin_mm)
    known = {scan.patient_id for scan in database.scans}
    missing = sorted(set(patients) - known)
    if missing or not patients:
        raise InputError(
            f"{', '.join(missing) or 'patients'}: no patient of LIDC-IDRI; give ids such as LIDC-IDRI-0001, or a number"
        )
    return [(scan, database.nodules(scan)) for scan in database.scans if scan.patient_id in set(patients)]


def _open_tree(out_dir: Path, record: dict[str, object]) -> None:
    """Note what the tree is made with.

    Raises:
        InputError: for a folder of anything else, or of phantoms of another kind.
    """
    refuse_to_replace(out_dir, PHANTOM)
    path = out_dir / _RECORD
    if not path.is_file():
        write_json(path, record)
    elif (found := json.loads(path.read_text())) != record:
        raise InputError(
            f"{out_dir}: holds another kind of phantom (found {found}, expected {record}); give an empty folder"
        )


def _check_drawn(folder: Path) -> None:
    """Refuse to remove a series that is not wholly drawn by this command.

    Raises:
        InputError: naming the first file that it has not drawn.
    """
    for path in [folder, *folder.iterdir()]:
        if path.is_symlink() or not (path is folder or _is_drawn(path)):
            raise InputError(f"{path}: is not what `ctxai phantom` wrote, and would be removed; move it elsewhere")


def _is_drawn(path: Path) -> bool:
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    from ctxai.phantom.scanner.dicom import MANUFACTURER

    try:
        header = dcmread(path, specific_tags=["Manufacturer"], stop_before_pixels=True)
    except (OSError, InvalidDicomError):
        return False
    return bool(header.get("Manufacturer") == MANUFACTURER)
