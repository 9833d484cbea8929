"""What starting a command costs beside bare imports, in the same run.

    python benchmarks/startup.py [--repeats 3] [--out FILE]

Each line is a process of its own: the help of commands, the imports that an explanation needs, and `ctxai explain
--no-maps` of one drawn nodule. The peers are `python -c ''`, `import torch` and `import timm`. Time is processor time
(user and system) on one thread, the least of the repeats, in which all processes take turns; the ratio is to `import
timm`, for all but help.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from ctxai.commands import COMMANDS

PATIENT = "LIDC-IDRI-0515"


def processor_seconds(arguments: list[str]) -> float:
    """User and system seconds of one Python process and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def processes(folder: Path) -> dict[str, list[str]]:
    """Arguments of Python, by name."""
    helps = {f"ctxai {name} --help": ["-m", "ctxai", name, "--help"] for name in COMMANDS}
    explain = ["-m", "ctxai", "explain", str(folder / "ct"), str(folder / "out"), "--no-resume", "--workers", "1"]
    return {
        "python": ["-c", ""],
        "import torch": ["-c", "import torch"],
        "import timm": ["-c", "import timm"],
        "import ctxai": ["-c", "import ctxai"],
        "ctxai --help": ["-m", "ctxai", "--help"],
        **helps,
        "ctxai.Run": ["-c", "import ctxai; ctxai.Run"],
        "ctxai explain --no-maps": [*explain, "--no-maps"],
        "ctxai explain --no-trust": [*explain, "--no-trust"],
        "ctxai explain": explain,
    }


def main() -> None:
    """Measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "startup.csv")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        processor_seconds(["-m", "ctxai", "phantom", str(folder / "ct"), "--patients", PATIENT, "--margin-mm", "10"])
        commands = processes(folder)
        seconds = {name: float("inf") for name in commands}
        for _ in range(arguments.repeats):
            for name, command in commands.items():
                seconds[name] = min(seconds[name], processor_seconds(command))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with arguments.out.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["process", "cpu_s", "to_import_timm", "machine", "python"])
        for name, value in seconds.items():
            ratio = value / seconds["import timm"]
            table.writerow(
                [
                    name,
                    f"{value:.2f}",
                    f"{ratio:.2f}",
                    f"{platform.machine()} {os.cpu_count()} cores",
                    platform.python_version(),
                ]
            )
            print(f"{name:32} {value:6.2f} s {ratio:6.2f}")


if __name__ == "__main__":
    main()
