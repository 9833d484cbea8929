"""The pages that people read, and the blocks in them."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

REPOSITORY = Path(__file__).parents[1]
PAGES = sorted(
    [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md"), *(REPOSITORY / "pipelines").glob("*.md")]
)
#: A block of code; in a list, it is indented.
FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)


def name_of(page: Path) -> str:
    """Its path in the repository."""
    return page.relative_to(REPOSITORY).as_posix()


def blocks(page: Path, kind: str) -> list[tuple[int, str]]:
    """(line number, text) of every block of a kind."""
    text = page.read_text(encoding="utf-8")
    found = [match for match in FENCE.finditer(text) if match["kind"].strip() == kind]
    return [(text.count("\n", 0, match.start("text")) + 1, dedent(match["text"])) for match in found]


def at_their_lines(found: list[tuple[int, str]]) -> list[str]:
    """The lines of one script that has every block where the page has it, so that its errors name lines of the page."""
    lines: list[str] = []
    for start, text in found:
        lines += [""] * (start - 1 - len(lines)) + text.splitlines()
    return lines
