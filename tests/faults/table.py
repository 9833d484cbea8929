"""The table of faults in ``docs/reliability.md``: ``python tests/faults/table.py`` writes it from the corpus."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

from faults.corpus import CASES  # noqa: E402

PAGE = TESTS.parent / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: written by tests/faults/table.py -->\n", "<!-- end of faults -->\n"


def table() -> str:
    """One line per fault and stage."""
    lines = ["| fault | stage | promise | words of the message or report |", "|---|---|---|---|"]
    for case in CASES:
        lines += [
            f"| {case.name} | {stage} | {promise} | {words.replace('|', '')} |"
            for stage, (promise, words) in case.promises.items()
        ]
    return "\n".join(lines) + "\n"


def trials() -> int:
    """How many faults are given to a stage."""
    return sum(len(case.promises) for case in CASES)


def main() -> None:
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
