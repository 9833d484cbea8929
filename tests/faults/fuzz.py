"""Fuzz one target with atheris (libFuzzer): ``python tests/faults/fuzz.py TARGET SECONDS [FOLDER]``.

Every kind of finding is kept once in FOLDER, as the bytes that lead to it and its traceback; the exit code is 1 where
there is any. What a crash of the process or too much memory leaves, libFuzzer writes there.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

import atheris

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

#: Much more than any small input needs.
MEMORY_MB = 4096
SLOWEST_SECONDS = 60

with atheris.instrument_imports(include=["ctxai", "pydicom"]):
    import fuzz_targets


def main() -> None:
    name, seconds = sys.argv[1], int(sys.argv[2])
    target = fuzz_targets.TARGETS[name]
    kept = Path(sys.argv[3] if len(sys.argv) > 3 else tempfile.mkdtemp(prefix="ctxai-fuzz-"), name)
    corpus, findings = kept / "corpus", kept / "findings"
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds():
        (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    (kept / "words").write_text("".join('"' + "".join(f"\\x{b:02x}" for b in w) + '"\n' for w in target.words))
    scratch = Path(tempfile.mkdtemp(prefix="ctxai-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    warnings.simplefilter("error")

    def one(data: bytes) -> None:
        try:
            fuzz_targets.execute(target, data, scratch)
        except Exception as error:  # noqa: BLE001 (a finding, whatever it is)
            frames = traceback.extract_tb(error.__traceback__)
            kind = f"{type(error).__name__} {[(f.filename, f.lineno) for f in frames if 'ctxai' in f.filename]}"
            path = findings / hashlib.sha1(kind.encode()).hexdigest()[:12]
            if not path.exists():
                path.write_bytes(data)
                path.with_suffix(".txt").write_text(traceback.format_exc())

    options = [f"-max_total_time={seconds}", f"-rss_limit_mb={MEMORY_MB}", f"-timeout={SLOWEST_SECONDS}"]
    options += [f"-dict={kept / 'words'}", f"-artifact_prefix={findings}/", "-print_final_stats=1", "-close_fd_mask=0"]
    atheris.Setup([sys.argv[0], *options, "-max_len=65536", str(corpus)], one)
    try:
        atheris.Fuzz()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        found = sorted(path.name for path in findings.iterdir() if path.suffix != ".txt")
        print(f"{name}: {len(found)} kind(s) of findings in {findings}")
        if found:
            sys.exit(1)


if __name__ == "__main__":
    main()
