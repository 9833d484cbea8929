"""What the documentation tells people to type works.

A block that begins with ```` ```python exec ```` runs, with the blocks before it in the same page, in an empty folder.
In ```` ```bash ```` blocks, the stages and flags of every ``ctxai`` command have to exist.
"""

import functools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ctxai.cli import STAGES, stage_parser

REPOSITORY = Path(__file__).parents[1]
PAGES = [
    page
    for folder in (REPOSITORY, REPOSITORY / "docs", REPOSITORY / "docs" / "how-to", REPOSITORY / "pipelines")
    for page in sorted(folder.glob("*.md"))
]
FENCE = re.compile(r"^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)(?P<target>[^)#\s]+)")


def name_of(page):
    return page.relative_to(REPOSITORY).as_posix()


def blocks(page, kind):
    """(line number, text) of every block of a kind."""
    text = page.read_text(encoding="utf-8")
    found = [match for match in FENCE.finditer(text) if match["kind"].strip() == kind]
    return [(text.count("\n", 0, match.start("text")) + 1, match["text"]) for match in found]


def commands(page):
    """(line number, words) of every ``ctxai`` command in the page's bash blocks."""
    for start, text in blocks(page, "bash"):
        joined = ""
        for offset, line in enumerate(text.splitlines()):
            joined += line.removesuffix("\\") + " "
            if line.endswith("\\"):
                continue
            words_of_line, joined = shlex.split(joined, comments=True), ""
            for words in split_at_pipes(words_of_line):
                if words[:1] == ["ctxai"]:
                    yield start + offset, words[1:]


def split_at_pipes(words):
    parts = [[]]
    for word in words:
        if word in {"|", "&&", "||", ";", "&"}:
            parts.append([])
        elif parts[-1] or not re.fullmatch(r"\w+=.*", word):  # VARIABLE=value before the command
            parts[-1].append(word)
    return parts


@functools.cache
def flags_of(stage):
    return set(re.findall(r"--[A-Za-z][\w.-]*", stage_parser(stage).format_help()))


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python exec")], ids=name_of)
def test_the_runnable_blocks_of_a_page_run_one_after_the_other(page, tmp_path):
    lines = [""] * page.read_text(encoding="utf-8").count("\n")
    for start, text in blocks(page, "python exec"):
        code = text.splitlines()
        lines[start - 1 : start - 1 + len(code)] = code  # so that a traceback names the line of the page
    future = "from __future__ import annotations"  # has to come first; a page begins with its title
    lines = [future if future in lines else "", *("" if line == future else line for line in lines[1:])]
    script = tmp_path / "page.py"
    script.write_text("\n".join(lines), encoding="utf-8")
    folder = tmp_path / "empty"
    folder.mkdir()
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "tests"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_of_a_page_names_a_stage_and_its_flags(page):
    for line, words in commands(page):
        where = f"{name_of(page)}:{line}: ctxai {' '.join(words)}"
        if words[0].startswith("-"):
            assert words[0] in {"--help", "--version", "-h"}, where
            continue
        assert words[0] in STAGES, where
        flags = {word.partition("=")[0] for word in words[1:] if word.startswith("--")}
        assert flags <= flags_of(words[0]), f"{where}: no flag {sorted(flags - flags_of(words[0]))}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_within_the_project_leads_somewhere(page):
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    missing = [m["target"] for m in LINK.finditer(prose) if not (page.parent / m["target"]).exists()]
    assert not missing


def test_a_command_that_does_not_exist_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("text\n\n```bash\nA=1 ctxai ingest a b --sharp 0/2 && ctxai trian c  # ctxai no\n```\n")
    assert list(commands(page)) == [(4, ["ingest", "a", "b", "--sharp", "0/2"]), (4, ["trian", "c"])]
    assert "--shard" in flags_of("ingest")
    assert "--sharp" not in flags_of("ingest")
    assert "--backbone.pretrained" in flags_of("train")


def test_the_pages_that_people_start_with_have_runnable_blocks():
    runnable = {name_of(page) for page in PAGES if blocks(page, "python exec")}
    assert {"docs/getting-started.md", "docs/how-to/write-a-method.md"} <= runnable
