"""Fuzz one target with atheris (libFuzzer): ``python tests/faults/fuzz_one.py TARGET SECONDS FOLDER [plain]``.

Every kind of finding is kept once in FOLDER/TARGET/findings, as the bytes that lead to it and its traceback; what a
crash of the process or too much memory leaves, libFuzzer writes there. With ``plain``, only bytes anywhere are changed.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from random import Random

import atheris
import torch

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

#: Much more than any small input needs.
MEMORY_MB = 4096
SLOWEST_SECONDS = 60
LONGEST_BYTES = 65536
#: How many of the changes are anywhere, not where the format has a meaning.
ANYWHERE = 0.3
#: How many start from a sound input again; where a parser in C sees the difference, libFuzzer does not keep them all.
AFRESH = 0.2

#: Beside ctxai, what of its readers is Python and not C.
with atheris.instrument_imports(include=["ctxai", "pydicom", "yaml", "zarr"]):
    from faults import fuzz_targets
atheris.instrument_func(torch._weights_only_unpickler.Unpickler.load)


def main() -> None:
    name, seconds, plain = sys.argv[1], int(sys.argv[2]), sys.argv[4:] == ["plain"]
    target = fuzz_targets.TARGETS[name]
    kept = Path(sys.argv[3], name)
    corpus, findings = kept / "corpus", kept / "findings"
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    scratch = Path(tempfile.mkdtemp(prefix="ctxai-fuzz-", dir=memory))
    tempfile.tempdir = str(scratch)  # of ctxai, too
    seeds = target.seeds()
    for seed in seeds:
        (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    (kept / "words").write_text("".join('"' + "".join(f"\\x{b:02x}" for b in w) + '"\n' for w in target.words))
    own = scratch / "own"
    own.mkdir()
    warnings.simplefilter("error")

    def one(data: bytes) -> None:
        try:
            fuzz_targets.execute(target, data, own)
        except Exception as error:  # noqa: BLE001 (a finding, whatever it is)
            frames = traceback.extract_tb(error.__traceback__)
            kind = f"{type(error).__name__} {[(f.filename, f.lineno) for f in frames if 'ctxai' in f.filename]}"
            path = findings / hashlib.sha1(kind.encode()).hexdigest()[:12]
            if not path.exists():
                path.write_bytes(data)
                path.with_suffix(".txt").write_text(traceback.format_exc())

    def mutate(data: bytes, longest: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < AFRESH:
            data = random.choice(seeds)
        if random.random() < ANYWHERE:
            return atheris.Mutate(data, longest)
        return target.edit(data, target.words, random)[:longest]

    options = [f"-max_total_time={seconds}", f"-rss_limit_mb={MEMORY_MB}", f"-timeout={SLOWEST_SECONDS}"]
    options += [f"-dict={kept / 'words'}", f"-artifact_prefix={findings}/", "-print_final_stats=1", "-close_fd_mask=0"]
    options += [f"-max_len={LONGEST_BYTES}", "-reload=0"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one, **({} if plain else {"custom_mutator": mutate}))
    try:
        atheris.Fuzz()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
