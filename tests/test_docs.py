"""What the documentation tells people to type works.

A block that begins with ```` ```python exec ```` runs in an empty folder, after those before it in the same page. In
all bash blocks, every ``ctxai`` command is parsed by the command line's own parser; of commands in the text, stage and
flags have to exist. What needs more than pip, all bash blocks run for real, does so in system/test_docs_commands.py.
"""

import functools
import os
import re
import shlex
import subprocess
import sys

import pytest

from ctxai.cli import help_text
from ctxai.cli import parse as parsed
from ctxai.commands import COMMANDS
from ctxai.errors import InputError

from pages import FENCE, PAGES, REPOSITORY, at_their_lines, blocks, name_of

SAID = re.compile(r"`ctxai ([^`]+)`")  # in the text; it may go on in the next line
SHELL = re.compile(r"\$\(\(.*?\)\)|\$\w+")  # $(( … )) and $NAME
TEST = re.compile(r"`(tests/[\w/.]*\w)(?:::(\w+))?/?`")
LINK = re.compile(r"\]\((?!https?:|#)(?P<target>[^)#\s]+)")


def commands(page):
    """(line number, words) of every ``ctxai`` command in the page's bash blocks."""
    for start, text in blocks(page, "bash"):
        joined = ""
        for offset, line in enumerate(text.splitlines()):
            joined += line.removesuffix("\\") + " "
            if line.endswith("\\"):
                continue
            for words in split_at_pipes(shlex.split(SHELL.sub("1", joined), comments=True)):
                yield from ((start + offset, command) for command in ctxai_in(words))
            joined = ""


def ctxai_in(words):
    """The words after ``ctxai``, which may be started by another program (srun, torchrun, sbatch --wrap '…')."""
    for position, word in enumerate(words):
        if (word == "ctxai" or word.endswith("/bin/ctxai")) and words[position + 1 :]:
            return [words[position + 1 :]]
        if " " in word and (inner := ctxai_in(shlex.split(word))):
            return inner
    return []


def split_at_pipes(words):
    parts = [[]]
    for word in words:
        ended = word.endswith(";")
        if word in {"|", "&&", "||", ";", "&"}:
            parts.append([])
        elif parts[-1] or not re.fullmatch(r"\w+=.*", word):  # VARIABLE=value before the command
            parts[-1].append(word.removesuffix(";"))
        if ended:
            parts.append([])
    return parts


def parse(words):
    """Parse a command as the command line does; a YAML file of the reader's own folder is left out.

    Raises:
        InputError: whatever is wrong, a configuration that does not come with the package among it.
    """
    words = [*words]
    for position, word in enumerate(words[:-1]):
        if word == "--config" and "/" in words[position + 1]:
            del words[position : position + 2]
            break
    parsed(words)


@functools.cache
def flags_of(stage):
    return set(re.findall(r"--[A-Za-z][\w.-]*", help_text(stage, width=200)))


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python exec")], ids=name_of)
def test_the_runnable_blocks_of_a_page_run_one_after_the_other(page, tmp_path):
    lines = at_their_lines(blocks(page, "python exec"))
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
def test_every_command_of_a_page_is_one_that_the_command_line_takes(page):
    for line, words in commands(page):
        where = f"{name_of(page)}:{line}: ctxai {' '.join(words)}"
        if words[0].startswith("-"):
            assert words[0] in {"--help", "--version", "-h", "--print-completion"}, where
            continue
        assert words[0] in COMMANDS, where
        try:
            parse(words)
        except InputError as error:
            pytest.fail(f"{where}: {error}")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_that_the_text_speaks_of_names_a_stage_and_its_flags(page):
    for said in SAID.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        stage, *rest = said.split()
        if stage not in {"STAGE", "COMMAND", "--help", "--version"}:
            assert stage in COMMANDS, said
            flags = {word.partition("=")[0].replace("_", "-") for word in rest if word.startswith("--")}
            assert flags <= flags_of(stage), said


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_within_the_project_leads_somewhere(page):
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    missing = [m["target"] for m in LINK.finditer(prose) if not (page.parent / m["target"]).exists()]
    assert not missing


@pytest.mark.parametrize("page", [page for page in PAGES if not page.name.startswith("write-")], ids=name_of)
def test_every_test_that_a_page_names_exists(page):
    for path, name in TEST.findall(page.read_text(encoding="utf-8")):
        assert (REPOSITORY / path).exists(), path
        assert not name or f"def {name}(" in (REPOSITORY / path).read_text(encoding="utf-8"), name


def test_a_command_that_does_not_exist_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "text\n\n```bash\nA=1 ctxai ingest a b --sharp 0/2 && ctxai trian c  # ctxai no\n"
        "for k in 0 1; do ctxai train s f$k --folds.test $(( (k + 1) % 5 )); done\n"
        "sbatch --array=0-3 --wrap 'ctxai verify m'\n```\n"
    )
    assert list(commands(page)) == [
        (4, ["ingest", "a", "b", "--sharp", "0/2"]),
        (4, ["trian", "c"]),
        (5, ["train", "s", "f1", "--folds.test", "1"]),
        (6, ["verify", "m"]),
    ]
    for wrong in (["ingest", "a", "b", "--sharp", "0/2"], ["train", "s", "r", "--seed", "many"], ["train", "only-one"]):
        with pytest.raises(InputError):
            parse(wrong)
    with pytest.raises(InputError):
        parse(["train", "s", "r", "--config", "defualt.yaml"])
    parse(["train", "s", "r", "--config", "default.yaml", "--backbone.pretrained", "false"])


def test_the_pages_that_people_start_with_have_runnable_blocks():
    runnable = {name_of(page) for page in PAGES if blocks(page, "python exec")}
    assert {"docs/getting-started.md", "docs/how-to/write-a-method.md"} <= runnable
