"""Fuzz every target, or those that are named: ``python tests/faults/fuzz.py SECONDS FOLDER [TARGET ...]``.

Each is fuzzed with atheris (libFuzzer) for so many seconds in a process of its own. Every kind of finding is kept once
in FOLDER/TARGET/findings, as the bytes that lead to it and its traceback; what a crash of the process or too much
memory leaves, libFuzzer writes there. The table in the end says how long each target was fuzzed, how much of that time
it had a processor, how often it was executed, how many branches it reached (libFuzzer's ``cov``) and how many kinds of
findings there are; the exit code is 1 where there is any.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from random import Random

import atheris
import SimpleITK as sitk
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


def fuzz(target: fuzz_targets.Target, seconds: int, kept: Path, scratch: Path) -> None:
    """Fuzz one target, for as long as the process lives.

    Args:
        target: what is fuzzed.
        seconds: how long.
        kept: folder of its inputs, words and findings.
        scratch: folder for whatever ctxai writes.
    """
    corpus, findings, own = kept / "corpus", kept / "findings", scratch / "own"
    for folder in (corpus, findings, own):
        folder.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(scratch)  # ctxai's own, too
    seeds = target.seeds()
    for seed in seeds:
        (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    (kept / "words").write_text("".join('"' + "".join(f"\\x{b:02x}" for b in w) + '"\n' for w in target.words))
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # threads cost more than patches this small
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
    options += [f"-dict={kept / 'words'}", f"-artifact_prefix={findings}/", f"-max_len={LONGEST_BYTES}", "-reload=0"]
    atheris.Setup([sys.argv[0], "-print_final_stats=1", *options, str(corpus)], one, custom_mutator=mutate)
    atheris.Fuzz()


def fuzz_apart(name: str, seconds: int, kept: Path) -> int:
    """Fuzz a target in a process of its own, print its line of the table, and give the number of findings."""
    kept.mkdir(parents=True, exist_ok=True)
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    scratch = Path(tempfile.mkdtemp(prefix="ctxai-fuzz-", dir=memory))
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        log = os.open(kept / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        try:
            fuzz(fuzz_targets.TARGETS[name], seconds, kept, scratch)
        finally:
            traceback.print_exc()
            os._exit(1)
    _, status, used = os.wait4(child, 0)
    shutil.rmtree(scratch, ignore_errors=True)
    text = (kept / "log").read_text(errors="replace")
    reached = re.findall(r"^#(\d+).* cov: (\d+) ", text, re.MULTILINE) or [("0", "0")]
    done = re.search(r"number_of_executed_units: (\d+)", text)
    found = {path.name for path in (kept / "findings").glob("*") if path.suffix != ".txt"}
    if status and not found:
        found = {"log"}  # it did not even start, or was killed
    executed = int(done[1] if done else reached[-1][0])
    took, worked = time.monotonic() - started, used.ru_utime + used.ru_stime
    print(f"| {name} | {took:.0f} | {worked:.0f} | {executed:,} | {reached[-1][1]} | {len(found)} |", flush=True)
    return len(found)


def main() -> None:
    seconds, folder, *names = sys.argv[1:]
    print("| target | seconds | of a processor | executions | branches | kinds of findings |", flush=True)
    print("|---|---|---|---|---|---|", flush=True)
    found = [fuzz_apart(name, int(seconds), Path(folder, name)) for name in names or fuzz_targets.TARGETS]
    if any(found):
        sys.exit(f"findings are in {folder}/*/findings")


if __name__ == "__main__":
    main()
