"""Kind of a folder, by the files in it: a store where a run was expected is the commonest slip."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ctxai.errors import InputError
from ctxai.files import explain_os_errors, is_unfinished
from ctxai.results_folder import PREDICTIONS

STORE = "a nodule store"
RUN = "a run"
BACKBONE = "a pretrained backbone"
RESULTS = "results of `ctxai explain`"
DETECTOR = "a detector of `ctxai train-detector`"
PHANTOM = "a tree of drawn CTs"
MANIFEST = "the tables of a manifest"
BENCHMARK = "results of `ctxai benchmark`"
#: A file of each kind of folder; the first that is there tells.
_KINDS = {
    "layout.json": STORE,
    "calibration.json": RUN,
    "weights.safetensors": BACKBONE,
    PREDICTIONS: RESULTS,
    "datapackage.json": MANIFEST,
    "benchmark.html": BENCHMARK,
    "phantom.json": PHANTOM,
    "training.json": DETECTOR,
}


def kind_of(folder: Path) -> str:
    """Kind of a folder; empty where no file tells."""
    return next((kind for name, kind in _KINDS.items() if (folder / name).is_file()), "")


def describe_kind(folder: Path) -> str:
    """End of an error's line about a folder that is another than was expected: ``; it is a nodule store``, or empty."""
    kind = kind_of(folder)
    return f"; it is {kind}" if kind else ""


def refuse_other(out_dir: Path, own: str, inputs: tuple[Path | None, ...] = ()) -> None:
    """Refuse to write into a folder of another kind, or into what is read.

    Args:
        out_dir: folder that is to be written; it may be absent.
        own: the kind that may be there already, as :func:`kind_of` names it.
        inputs: folders that are read.

    Raises:
        InputError: naming ``out_dir`` and what it is.
    """
    kind = kind_of(out_dir)
    if kind not in ("", own):
        raise InputError(f"{out_dir}: is {kind}, and {own} would be written into it; give another folder")
    if out_dir.exists() and any(each is not None and each.exists() and out_dir.samefile(each) for each in inputs):
        raise InputError(f"{out_dir}: is read and would be written; give another folder for {own}")


def refuse_foreign(out_dir: Path, own: str, names: Sequence[str]) -> None:
    """Refuse to write files over others of the same names that are not ours.

    Args:
        out_dir: folder that is to be written; it may be absent.
        own: the kind of folder whose files may be replaced.
        names: of the files.

    Raises:
        InputError: naming the first that is there.
    """
    refuse_other(out_dir, own)
    there = [name for name in names if (out_dir / name).exists()]
    if there and kind_of(out_dir) != own:
        raise InputError(f"{out_dir / there[0]}: is there and is not of {own}; give another folder")


def refuse_other_table(path: Path, columns: Sequence[str]) -> None:
    """Refuse to replace a file that is no CSV table of these columns.

    Args:
        path: it may be absent.
        columns: names in the first line.

    Raises:
        InputError: naming the file.
    """
    if path.exists():
        with explain_os_errors(path), path.open("rb") as file:
            first = file.readline(4096)
        if first.rstrip() != ",".join(columns).encode():
            raise InputError(f"{path}: is there and holds something else; give the name of another file")


def refuse_to_lose(folder: Path, known: re.Pattern[str]) -> None:
    """Refuse to replace a folder in which other files lie than those of its kind.

    Args:
        folder: it may be absent.
        known: paths of its kind's files in it.

    Raises:
        InputError: naming the first file that would be lost.
    """
    for path in sorted(folder.rglob("*")):
        is_file = path.is_symlink() or not path.is_dir()
        if is_file and not (known.fullmatch(path.relative_to(folder).as_posix()) or is_unfinished(path)):
            raise InputError(f"{path}: would be lost with the folder that is replaced; move it elsewhere")


def refuse_to_replace(out_dir: Path, own: str) -> None:
    """Refuse to write a folder in place of something else; an empty one, or what a killed run left, may be there.

    Args:
        out_dir: folder that is to be written; it may be absent.
        own: the kind that may be replaced.

    Raises:
        InputError: when ``out_dir`` is a file, or a folder of anything else.
    """
    if not out_dir.exists() or (out_dir.is_dir() and all(map(is_unfinished, out_dir.iterdir()))):
        return
    if kind_of(out_dir) != own:
        raise InputError(
            f"{out_dir}: is there and is not {own}{describe_kind(out_dir)}; give a folder that does not exist yet"
        )
