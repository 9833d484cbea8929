import base64
import gzip
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

from ctxai.report import page
from ctxai.report.page import render_page

VENDOR = Path(page.__file__).with_name("vendor")


def rendered(viewer=False, **changes):
    scripts = ["volume.js", "planes.js", "three_d.js", "viewer.js"] if viewer else ["cohort.js"]
    results = {"models": (), "software": ""}
    content = {"title": "", "counted": "", "table": "", "sections": [], "back": None, "results": results} | changes
    return render_page("explanation.html", style="explanation.css", scripts=scripts, viewer=viewer, **content)


class Inline(HTMLParser):
    """Texts of styles and of scripts that a browser runs, style attributes and event handlers."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.attributes, self.within = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.within = tag == "style" or (tag == "script" and "type" not in dict(attrs))
        self.attributes += [name for name, _ in attrs if name == "style" or name.startswith("on")]
        if self.within:
            self.texts.append("")

    def handle_endtag(self, tag):
        self.within = False

    def handle_data(self, data):
        if self.within:
            self.texts[-1] += data


def test_the_library_in_a_page_is_the_one_whose_checksum_and_licence_lie_beside_it():
    packed = re.search(r'id="niivue">([^<]+)</script>', rendered(viewer=True)).group(1)
    code = gzip.decompress(base64.b64decode(packed))
    assert hashlib.sha256(code).hexdigest() in (VENDOR / "README.md").read_text()
    assert "BSD 2-Clause" in (VENDOR / "LICENSE").read_text()


def test_a_page_without_nodules_carries_no_library():
    text = rendered()
    assert "NoduleViewer" not in text
    assert len(text) < 40_000


def test_the_title_is_plain_text():
    assert "<b>x" not in rendered(title="<b>x")


def test_the_policy_names_every_script_and_style_by_its_hash_and_allows_no_other():
    text = rendered(viewer=True)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text).group(1)
    found = Inline(text)
    library = gzip.decompress(base64.b64decode(re.search(r'id="niivue">([^<]+)</script>', text).group(1)))
    allowed = {
        f"sha256-{base64.b64encode(hashlib.sha256(one).digest()).decode()}"
        for one in [*(text.encode() for text in found.texts), library]
    }
    assert set(re.findall(r"'(sha256-[^']+)'", policy)) == allowed
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none';")
    assert found.attributes == []
