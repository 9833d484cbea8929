"""A page of another origin, in a real browser, that tries to use the viewer's servers."""

from __future__ import annotations

import pytest
from pacs.web_server import answering

from ctxai.viewer import ViewerServer

from system.orthanc import started_orthanc

pytestmark = pytest.mark.system

#: What a page can do to an address without the user: reads, writes, pictures, frames and forms.
ATTEMPTS = """async (address) => {
    const said = [];
    for (const options of [{}, {mode: "no-cors"}, {method: "POST", mode: "no-cors", body: "x"}, {method: "DELETE"}]) {
        try {
            const response = await fetch(address, options);
            said.push(`${response.type} ${(await response.text()).length}`);
        } catch (error) { said.push("refused"); }
    }
    for (const tag of ["img", "iframe"]) {
        const element = document.createElement(tag);
        element.src = address;
        const ended = new Promise((done) => {
            element.onload = () => done("loaded");
            element.onerror = () => done("refused");
        });
        document.body.append(element);
        said.push(await Promise.race([ended, new Promise((done) => setTimeout(() => done("silent"), 2000))]));
    }
    return said;
}"""


def test_a_page_of_another_site_neither_reads_nor_changes_anything(page, tmp_path):
    (tmp_path / "index.html").write_text("the viewer")
    with (
        answering(200, "[]") as (archive, asked),
        ViewerServer(tmp_path, archive.removeprefix("http://").partition("/")[0]) as viewer,
        answering(200, "<title>elsewhere</title><body>", "text/html") as (elsewhere, _),
    ):
        page.goto(elsewhere)
        for path in ("/dicom-web/studies", "/", "/app-config.js"):
            read = page.evaluate(ATTEMPTS, viewer.url + path)
            assert read[0] == "refused" and read[3] == "refused"
            assert read[1:3] == ["refused"] * 2 or all(one == "opaque 0" for one in read[1:3])
            assert read[4] != "loaded"
        assert not [one for frame in page.frames[1:] for one in [frame.content()] if "the viewer" in one]
        assert asked == []


def test_orthanc_itself_gives_nothing_without_its_password(page):
    with started_orthanc(dimse=False, locked=True) as orthanc, answering(200, "<body>", "text/html") as (elsewhere, _):
        page.goto(elsewhere)
        for path in ("/instances", "/system", "/dicom-web/studies", "/tools/shutdown"):
            read = page.evaluate(ATTEMPTS, orthanc.url + path)
            assert read[0] == "refused" and read[3] == "refused"
        assert orthanc._answers()  # a shutdown was asked for, too
