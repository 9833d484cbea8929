"""Run folders that lack a file or hold a damaged one."""

from __future__ import annotations

from faults.inputs import Inputs
from faults.promises import REFUSED, Faults

FAULTS = Faults()


def _run_file(name: str, content: bytes | None, words: str, label: str) -> None:
    def damage(i: Inputs) -> None:
        if content is None:
            (i.folder / "run" / name).unlink()
        else:
            (i.folder / "run" / name).write_bytes(content)

    damage.__name__ = f"run_{label}_{name}"
    FAULTS.case(explain=(REFUSED, words))(damage)


for _name in ("config.yaml", "weights.safetensors", "calibration.json", "provenance.json", "metrics.json"):
    _run_file(_name, None, f"{_name} is missing", "without")
_run_file("weights.safetensors", b"\0" * 900, "checksum", "with_damaged")
_run_file("config.yaml", b"\xff\xfe\x9a", "damaged or of another version", "with_binary")
_run_file("config.yaml", b"!!python/object/apply:os.system ['touch pwned']", "damaged or of another", "with_code_in")
_run_file("config.yaml", b"views: {views: []}", "views", "with_no_views_in")
_run_file("calibration.json", b'{"slope": NaN}', "calibration.json", "with_no_numbers_in")
_run_file("provenance.json", b"[" * 100_000, "not JSON", "with_endless")
_run_file("metrics.json", b"\xff\xfe", "not JSON", "with_binary")
_run_file("predictions.csv", b'a,b\n"1,2\n\xff', "not a CSV file", "with_damaged")
_run_file("novelty.safetensors", b"\0" * 900, "novelty.safetensors: damaged", "with_damaged")
