"""``ctxai ingest``: nodules cut out of their CT series and put in a nodule store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ctxai.commands.options import CLUSTER
from ctxai.errors import InputError
from ctxai.folder_kinds import STORE, refuse_other
from ctxai.progress import console
from ctxai.shards import parse_shard


def ingest(
    dicom_dir: Path | None = None,
    store_dir: Path | None = None,
    /,
    *,
    cohort: str = "default",
    patients: list[str] | None = None,
    xml: Path | None = None,
    points: Path | None = None,
    labels: Path | None = None,
    luna: Path | None = None,
    crops: Path | None = None,
    repair: list[str] = ["missing-slice", "duplicated-position", "non-uniform-spacing"],  # noqa: B006 (never changed)
    max_gap_mm: float = 5.0,
    acquisition: list[str] = [],  # noqa: B006
    shard: Annotated[str, CLUSTER] = "0/1",
    prepare: Annotated[bool, CLUSTER] = False,
    headers: Annotated[Path | None, CLUSTER] = None,
    key: Path | None = None,
    merge: Annotated[Path | None, CLUSTER] = None,
    report: bool = False,
    workers: int = 0,
    resume: bool = True,
    overwrite: bool = False,
) -> None:
    """Cut every nodule of the cohort out of its CT: 64 mm cubes at 1 mm, beside the readers' agreement.

    The nodules are those of LIDC-IDRI whose series lie under DICOM_DIR, under any file names, or those of --xml,
    --points or --luna. Every fault of a series is repaired or refused by name and told in report.csv; it does not stop
    the others. A killed run goes on where it stopped and ends with the same bytes.

    Args:
        dicom_dir: tree of DICOM files.
        store_dir: the nodule store to write.
        cohort: which nodules are used: a bundled name or a cohort file.
        patients: only these patients.
        xml: LIDC's XML annotation (a file or a folder of them) instead of the database.
        points: nodules in any CT as CSV (x,y,z in LPS mm; optional nodule_id, series_uid, diameter_mm,
            label_malignancy, ratings) or Slicer markups; they need no labels.
        labels: CSV of labels, one row a nodule (nodule_id), a series (series_uid) or a patient (PatientID), with any
            column as a label; a column fold is taken as it is. What was used is told.
        luna: a folder of LUNA16 (.mhd files and annotations.csv) instead of a DICOM tree.
        crops: a collection of 2-D crops (crops.npz, labels.csv) instead of a DICOM tree.
        repair: faults that are repaired, others are refused; also mixed-orientation, mixed-size-or-pixel-spacing,
            wrong-modality, unknown-rescale.
        max_gap_mm: nodules whose patch touches a wider gap of missing slices are refused.
        acquisition: of a series with several acquisitions or phases the one with this value, such as 2 or
            AcquisitionNumber=2; without it the largest. The acquisitions are named in report.csv.
        shard: i/n, the i-th of n equal parts of the series (0/1 is all); afterwards run ``ctxai ingest --merge``.
        prepare: only write the manifest and the empty store, before the shards.
        headers: file that --prepare keeps the headers of the tree in, PatientID among them, and that shards read
            instead of the whole tree, as ``ctxai explain`` may; prepare again when the tree has changed.
        key: file with the secret under which patients get pseudonyms; made where there is none. Without it,
            ~/.config/ctxai/deidentify.key. LIDC-IDRI's public ids need none.
        merge: finish the store given here, after all of its shards.
        report: write report.html into the store: cohort, faults and repairs, ratings, agreement, sample patches.
        workers: processes; 0 works in this one.
        resume: leave what is already in the store; false does it again.
        overwrite: a store of another cohort or of other patients is emptied first; it is refused otherwise.
    """
    from ctxai.annotations import open_annotations
    from ctxai.annotations.lidc import LidcXml
    from ctxai.ct.geometry import GeometryRules
    from ctxai.deidentification.pseudonyms import Pseudonymizer
    from ctxai.ingestion.bookkeeping import begin
    from ctxai.ingestion.discovery import TreeOptions, plan_tree
    from ctxai.ingestion.jobs import ingest_plan, ingest_prepared
    from ctxai.ingestion.merge import merge_parts
    from ctxai.ingestion.plan import plan_luna

    if merge is not None:
        merge_parts(merge, report)
        return
    sources = {"--xml": xml, "--points": points, "--luna": luna, "--crops": crops}
    if len(given := [name for name, value in sources.items() if value is not None]) > 1:
        raise InputError(f"{' '.join(given)}: each says where the nodules are; give one of them")
    if crops is not None:
        from ctxai.data.crops import import_crops

        store = import_crops(crops, target := _required(store_dir or dicom_dir, "STORE_DIR"))
        console.print(f"{len(store)} crops -> {target}", highlight=False, markup=False, soft_wrap=True)
        return
    rules = GeometryRules.named(repair, max_gap_mm, acquisition)
    index, count = parse_shard(shard)
    if luna is not None:
        store_dir = _required(store_dir or dicom_dir, "STORE_DIR")
        plan = plan_luna(luna)
    else:
        dicom_dir, store_dir = _required(dicom_dir, "DICOM_DIR"), _required(store_dir, "STORE_DIR")
        if headers is not None and not prepare:
            ingest_prepared(dicom_dir, store_dir, headers, (index, count), rules, workers, resume)
            return
        annotations = LidcXml(xml) if xml else open_annotations(points) if points else None
        plan = plan_tree(
            TreeOptions(dicom_dir, Pseudonymizer(key), rules, annotations, cohort, patients, workers, headers, labels)
        )
    refuse_other(store_dir, STORE, (dicom_dir, luna))
    begin(store_dir, plan.rows, plan.issues, overwrite, rules)
    if prepare:
        return
    ingest_plan(store_dir, plan, (index, count), rules, workers, resume)
    if count == 1:
        merge_parts(store_dir, report)


def _required(path: Path | None, name: str) -> Path:
    if path is None:
        raise InputError(f"{name} is missing; see `ctxai ingest --help`")
    return path
