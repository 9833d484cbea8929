"""Which series of a tree a shard of ``ctxai explain`` works on."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from ctxai.ct.header import SliceHeader
from ctxai.ct.header_table import Owner, read_headers, read_owners
from ctxai.ct.search import find_series
from ctxai.deidentification.pseudonyms import Pseudonymizer
from ctxai.errors import InputError
from ctxai.run.run import Run

#: What stands for the patients of a run's test fold.
TEST = "test"

logger = logging.getLogger(__name__)


def choose_series(
    folder: Path,
    kept: Path | None,
    patients: Sequence[str] | None,
    names: Pseudonymizer,
    run: Run,
    shard: tuple[int, int],
    called: Path,
) -> tuple[list[list[SliceHeader]], int]:
    """Headers of every series of a shard, in the order of the tree, and the number of series of all shards.

    Args:
        folder: tree of DICOM files; damaged images are left out with a warning.
        kept: file of its headers, read instead of it.
        patients: only these; the one word test stands for the run's test fold.
        names: what patients are called.
        run: whose test fold that is.
        shard: index and count.
        called: what messages call the tree.

    Raises:
        InputError: when a patient, or the whole test fold, is not there, or was named under another key.
    """
    index, count = shard
    if kept is None:
        damaged: dict[Path, str] = {}
        series = find_series(folder, damaged, label=called)
        for reason in damaged.values():
            logger.warning("left out: %s", reason)
        owners: Mapping[str, SliceHeader | Owner] = {uid: headers[0] for uid, headers in series.items()}
        chosen = _of_patients(owners, patients, names, run, called)
        own = chosen[index::count]
    else:
        chosen = _of_patients(read_owners(kept), patients, names, run, called)
        own = chosen[index::count]
        series = read_headers(kept, folder, own)
    return [series[uid] for uid in own], len(chosen)


def _of_patients(
    owners: Mapping[str, SliceHeader | Owner],
    patients: Sequence[str] | None,
    names: Pseudonymizer,
    run: Run,
    called: Path,
) -> list[str]:
    if patients is None:
        return list(owners)
    test = list(patients) == [TEST]
    wanted = set(run.provenance["patients"]["test"] if test else patients)
    names.refuse_foreign(wanted, f"the run {run.name}" if test else "--patients")
    found = {uid: names(owner) for uid, owner in owners.items()}
    chosen = [uid for uid, name in found.items() if name in wanted]
    absent = sorted(wanted - set(found.values()))
    if absent and not (test and chosen):
        what = f"the test fold of the run {run.name}" if test else f"{len(absent)} of {len(wanted)} --patients"
        raise InputError(f"{called}: no CT series of {what} among its {len(owners)}: {absent[0]} is not there")
    return chosen
