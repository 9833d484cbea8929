"""What is fuzzed: every reader of bytes that ctxai did not write, as a function of those bytes.

A target may raise a :class:`ctxai.errors.CtxaiError`, which is an answer. Anything else is a finding, warnings of
numpy and pydicom among them (``fuzz.py`` and pytest turn warnings into errors).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from ctxai.errors import CtxaiError

from faults import fuzz_ct, fuzz_marks, fuzz_models, fuzz_results, fuzz_store
from faults.fuzz_edits import Edit, by_first, elements, flips, members, safetensors, tokens


@dataclass(frozen=True)
class Target:
    """Something to fuzz.

    Attributes:
        run: takes the bytes and a folder of its own.
        seeds: sound inputs to start from, each as small as it can be.
        edit: changes that keep the format, beside those anywhere.
        words: bytes that a mutation may put in: what the format gives a meaning.
    """

    run: Callable[[bytes, Path], None]
    seeds: Callable[[], list[bytes]]
    edit: Edit = flips
    words: tuple[bytes, ...] = (b"\0\0", b"\xff\xff\xff\xff")


_NUMBERS = (b"nan", b"inf", b"1e308", b"-1", b"0", b"99999999999999999999", b"0.5")
_JSON = (*_NUMBERS, b"null", b"true", b"[]", b"{}", b'""', b"[" * 50)
_PATHS = (*_JSON, b"../victim", b"..", b".", b"/", b"\\u0000", b"<script>", b"-of-", b".next")
_CSV = (*_NUMBERS, b'"', b"\0", b",", b"\n", b"\r")
_YAML = (b".nan", b".inf", b"1e308", b"-1", b"0", b"null", b"true", b"[]", b"{}", b"- ", b"&a ", b"*a", b"!!binary ")
_XML = (*_NUMBERS, b"<roi>", b"</roi>", b"&a;", b"<!--", b"TRUE", b"FALSE", b"inclusion", b"<![CDATA[")
_DICOM = (*_NUMBERS, b"\xff\xff\xff\xff", b"\0\0", b"\\", b"CT", b"HU", b"1\\2\\3", b"LOCALIZER", b"ISO_IR 192")
_META = (*_NUMBERS, b"True", b"False", b"LOCAL", b"LIST", b"MET_UCHAR", b"MET_DOUBLE", b"MET_OTHER", b"1 2 3", b"%d")
_PICKLE = (b"\xff\xff\xff\xff", b"\x80\x02", b"c", b"R", b".", b"N", b"}", b"]", b"(", b"\x85", b"\x88", b"torch\n")
_RUN_EDITS = (tokens, tokens, tokens, tokens, safetensors)
_STORE_EDITS = (tokens, flips, tokens, tokens, flips)

TARGETS = {
    "series": Target(fuzz_ct.series, fuzz_ct.images, elements, _DICOM),
    "archive": Target(fuzz_ct.archive, fuzz_ct.archives, members, (b"PK\1\2", b"PK\3\4", b"PK\5\6", b"\xff" * 4)),
    "metaimage": Target(fuzz_ct.metaimage, fuzz_ct.metaimages, tokens, _META),
    "headers": Target(fuzz_ct.headers, fuzz_ct.header_tables),
    "annotation": Target(fuzz_marks.annotation, fuzz_marks.annotations, tokens, _XML),
    "points": Target(fuzz_marks.points, fuzz_marks.tables, tokens, _CSV),
    "labels": Target(fuzz_marks.labels, fuzz_marks.tables, tokens, _CSV),
    "markups": Target(fuzz_marks.markups, fuzz_marks.saved_markups, tokens, _JSON),
    "checkpoint": Target(fuzz_models.checkpoint, fuzz_models.checkpoints, members, _PICKLE),
    "tensors": Target(fuzz_models.tensors, fuzz_models.tensor_files, safetensors, (*_JSON, b"F16", b"I64", b"BOOL")),
    "config": Target(fuzz_models.config, fuzz_models.configs, tokens, _YAML),
    "run": Target(fuzz_models.run_file, fuzz_models.run_files, by_first(_RUN_EDITS), _JSON),
    "results": Target(fuzz_results.result_file, fuzz_results.result_files, by_first([tokens] * 5), _PATHS),
    "store": Target(fuzz_store.store, fuzz_store.store_files, by_first(_STORE_EDITS), _JSON),
}


def execute(target: Target, data: bytes, folder: Path) -> None:
    """Give the bytes to a target.

    Raises:
        Exception: whatever is not an answer.
    """
    with contextlib.suppress(CtxaiError):
        target.run(data, folder)


def changed(target: Target, seed: bytes, random: Random) -> bytes:
    """The seed with changes anywhere, or with one to three that keep its format."""
    if random.random() < 0.3:
        return flips(seed, target.words, random)
    for _ in range(random.randrange(1, 4)):
        seed = target.edit(seed, target.words, random)
    return seed
