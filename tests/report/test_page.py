import base64
import gzip
import hashlib
import re
from pathlib import Path

from ctxai.report import page
from ctxai.report.page import render_page

VENDOR = Path(page.__file__).with_name("vendor")


def test_the_library_in_a_page_is_the_one_whose_checksum_and_licence_lie_beside_it():
    text = render_page("title", "", "", viewer=True)
    packed = re.search(r'id="niivue">([^<]+)</script>', text).group(1)
    code = gzip.decompress(base64.b64decode(packed))
    assert hashlib.sha256(code).hexdigest() in (VENDOR / "README.md").read_text()
    assert "BSD 2-Clause" in (VENDOR / "LICENSE").read_text()


def test_a_page_without_nodules_carries_no_library():
    text = render_page("title", "", "", viewer=False)
    assert "NoduleViewer" not in text
    assert len(text) < 40_000


def test_the_title_is_plain_text():
    assert "<b>x" not in render_page("<b>x", "", "", viewer=False)
