"""``ctxai planted``: a nodule store whose labels are tied to evidence in a known place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctxai.errors import InputError, StoreError
from ctxai.folder_kinds import kind_of
from ctxai.progress import console, run_jobs
from ctxai.suggestions import did_you_mean

if TYPE_CHECKING:
    from ctxai.phantom.planted import PlantedNodule

_LAYOUT = 1
_FOLDS = 5
_READERS = 4  # as many as agree about a nodule of LIDC-IDRI that all of them saw
_NODULES_PER_PATIENT = 2


def planted(
    store_dir: Path,
    /,
    *,
    trait: str = "spikes",
    nodules: int = 1000,
    depth: int = 1,
    seed: int = 0,
    workers: int = 0,
) -> None:
    """Write a nodule store whose malignancy label is one chosen trait in a known place, and nothing else.

    The traits are `spikes` on one side of the rim, a calcified `core`, and a `solid_part` inside ground glass; other
    traits, vessels and bodies outside that look alike are drawn without regard to the label. Beside the store lie the
    voxels of the evidence and every nodule's counterpart: the same nodule under the same noise without the trait (or
    with it, where the label is benign). `ctxai train` learns the store and `ctxai benchmark` scores explanations
    against the place of the evidence. The same options give the same voxels.

    Args:
        store_dir: nodule store to write; a finished one of the same options is left as it is.
        trait: what the label is tied to: spikes, core or solid_part.
        nodules: how many; two of each made-up patient.
        depth: 1 for single axial slices, 64 for cubes.
        seed: of everything random.
        workers: processes; 0 works in this one.
    """
    import numpy as np
    import pandas as pd

    from ctxai.data.crops import patient_folds
    from ctxai.data.planted import RECORD, PlantedTruth
    from ctxai.data.store import NoduleStore
    from ctxai.phantom.planted import PLANTED_TRAITS, SIDE

    if trait not in PLANTED_TRAITS or nodules < 4 * _FOLDS:
        raise InputError(
            f"--trait {trait} --nodules {nodules}: expected one of {', '.join(PLANTED_TRAITS)} "
            f"and at least {4 * _FOLDS} nodules{'' if trait in PLANTED_TRAITS else did_you_mean(trait, PLANTED_TRAITS)}"
        )
    record = {"data_set": f"ctxai-planted-{trait}", "layout": _LAYOUT, "trait": trait, "seed": seed, "nodules": nodules}
    if _finished(store_dir, record | {"depth": depth}):
        return
    if kind_of(store_dir) and not (store_dir / RECORD).is_file():
        raise StoreError(f"{store_dir}: holds another store, without planted evidence; give an empty folder")
    store = NoduleStore.create(store_dir, nodules, (depth, SIDE, SIDE))
    has_trait = np.random.default_rng([seed, PLANTED_TRAITS.index(trait)]).permutation(np.arange(nodules) % 2 == 0)
    truth = PlantedTruth.create(store, record | {"depth": depth})
    rows: dict[int, dict[str, Any]] = {}
    for row, found in run_jobs(_draw, [(trait, seed, row, depth) for row in range(nodules)], "Planting", workers):
        own, other = (found.with_trait, found.without) if has_trait[row] else (found.without, found.with_trait)
        store.write(row, own, _READERS * found.inside, np.ones_like(own))
        truth.write(row, found.evidence, other)
        rows[row] = _row(row, found, bool(has_trait[row]))
    table = pd.DataFrame([rows[row] for row in range(nodules)])
    table["fold"] = patient_folds(table, _FOLDS, seed)
    store.write_table(table)
    console.print(f"{nodules} nodules, {int(has_trait.sum())} with {trait.replace('_', ' ')} -> {store_dir}")


def _draw(trait: str, seed: int, row: int, depth: int) -> tuple[int, PlantedNodule]:
    from ctxai.phantom.planted import plant

    return row, plant(trait, seed, row, depth)


def _row(row: int, found: PlantedNodule, has_trait: bool) -> dict[str, Any]:
    """The label follows from the trait alone; the biomarkers are those of the traits that do not count."""
    import numpy as np

    from ctxai.phantom.nodule.traits import ratings_of

    ratings = ratings_of(found.look) | {"sphericity": 1 + 4 * found.roundness, "malignancy": 5.0 if has_trait else 1.0}
    return {
        "nodule_id": f"planted-{row:05d}",
        "patient_id": f"planted-patient-{row // _NODULES_PER_PATIENT:05d}",
        "series_uid": "",
        "n_readers": _READERS,
        "diameter_mm": round(found.diameter_mm, 3),
        "malignancy_median": ratings["malignancy"],
        **{f"{name}_mean": round(value, 4) for name, value in ratings.items()},
        "label_malignancy": float(has_trait),
        "x": np.nan,
        "y": np.nan,
        "z": np.nan,
        "fault": "",
    }


def _finished(store_dir: Path, record: dict[str, Any]) -> bool:
    """Whether the store is there and whole.

    Raises:
        StoreError: when the folder holds another store.
    """
    from ctxai.data.planted import RECORD

    if not (store_dir / RECORD).is_file():
        return False
    found = json.loads((store_dir / RECORD).read_text(encoding="utf-8"))
    if found != record:
        raise StoreError(f"{store_dir}: holds another store (found {found}, expected {record}); give an empty folder")
    return (store_dir / "nodules.parquet").is_file()
