"""The documentation as a site: it builds without a warning, and its pages load nothing from elsewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ctxai.commands import COMMANDS

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.system
LOADED = re.compile(
    r"""<(?:script|img|iframe|source)[^>]*\bsrc="([^"]+)"|<link[^>]*\bhref="([^"]+)"|url\(["']?([^"')]+)"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-d", str(folder / "cache")]
    done = subprocess.run(
        [*command, str(REPOSITORY / "docs"), str(folder / "html")], capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_every_page_is_there(site):
    pages = {page.relative_to(REPOSITORY / "docs").with_suffix(".html") for page in REPOSITORY.glob("docs/**/*.md")}
    assert pages <= {page.relative_to(site) for page in site.rglob("*.html")}


def test_nothing_is_loaded_from_elsewhere(site):
    elsewhere = set()
    for path in [*site.rglob("*.html"), *site.rglob("*.css")]:
        for found in LOADED.findall(path.read_text(encoding="utf-8")):
            address = "".join(found)
            if re.match(r"(https?:)?//", address):
                elsewhere.add((path.name, address))
    assert not elsewhere


def test_the_reference_is_generated(site):
    commands = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    assert all(f'id="{stage}"' in commands for stage in COMMANDS)
    assert 'id="ctxai.explain.methods.cdam.CDAM"' in (site / "reference" / "explain.html").read_text(encoding="utf-8")
    assert "generate:" not in commands


def test_search_works_from_the_disk(site):
    assert "cdam" in (site / "searchindex.js").read_text(encoding="utf-8").lower()
