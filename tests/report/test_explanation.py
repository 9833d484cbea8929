import json
import os
import re
import shutil
from html.parser import HTMLParser

import pytest

from ctxai.errors import InputError
from ctxai.report.explanation import write_report

from .result_folders import row, write_crops, write_predictions, write_record


class Outline(HTMLParser):
    """Ids, addresses and data of a page."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.addresses, self.data, self.open = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.addresses += [attributes[name] for name in ("href", "src") if name in attributes]
        self.open = attributes.get("type") if tag == "script" else None

    def handle_endtag(self, tag):
        self.open = None

    def handle_data(self, data):
        if self.open == "application/json":
            self.data.append(json.loads(data))


def results(folder, *rows, **options):
    for one in rows:
        write_crops(folder, one)
    write_predictions(folder, list(rows), **options)
    return folder


def page_of(folder, name="report.html"):
    return (folder / name).read_text()


def test_one_file_holds_images_library_and_scripts_and_asks_for_nothing(tmp_path):
    write_report(results(tmp_path, row(), row("LIDC-IDRI-0001-02")))
    page = page_of(tmp_path)
    outline = Outline(page)
    assert [sorted(data) for data in outline.data] == [["ct", "maps", "numbers", "readers"]] * 2
    assert {address.split(":")[0].split("#")[0] for address in outline.addresses} <= {"", "data"}
    assert "default-src 'none'" in page
    assert 'id="niivue"' in page
    assert "research use only" in page
    assert len(page) < 4_000_000


def test_every_nodule_of_the_table_has_its_section(tmp_path):
    write_report(results(tmp_path, row(), row("other", series="def"), row("third", series="def")))
    outline = Outline(page_of(tmp_path))
    links = [address.removeprefix("#") for address in outline.addresses if address.startswith("#")]
    assert links == ["abc-1", "def-1", "def-2"]
    assert set(links) <= set(outline.ids)
    assert len(outline.ids) == len(set(outline.ids))


def test_models_are_told_apart_where_there_are_several(tmp_path):
    models = ({"run": "mine", "weights_sha256": "a" * 64}, {"run": "mine", "weights_sha256": "b" * 64})
    write_report(results(tmp_path, row(**models[0]), row("other", series="def", **models[1])))
    page = page_of(tmp_path)
    for letter in "ab":
        assert page.count(f"run mine, weights {letter * 12} · ") == 2  # of the page, and of its nodule
    write_report(results(tmp_path / "one", row(**models[0])))
    assert page_of(tmp_path / "one").count("run mine, weights") == 1


def test_a_single_nodule_has_no_table(tmp_path):
    write_report(results(tmp_path, row()))
    assert '<table class="cohort"' not in page_of(tmp_path)


def test_many_images_go_into_a_page_for_each_series(tmp_path):
    write_report(results(tmp_path, row(), row("other", series="def")), one_page_bytes=1000)
    index, page = page_of(tmp_path), page_of(tmp_path, "def/report.html")
    assert Outline(index).data == []
    assert 'id="niivue"' not in index
    assert Outline(index).addresses == ["abc/report.html#abc-1", "def/report.html#def-1"]
    assert "def-1" in Outline(page).ids
    assert Outline(page).addresses == ["../report.html"]
    write_report(tmp_path)
    assert not (tmp_path / "def" / "report.html").exists()


def test_pages_that_are_newer_than_their_series_are_left(tmp_path):
    results(tmp_path, row(), row("other", series="def"))
    write_report(tmp_path, one_page_bytes=1000)
    pages = {series: tmp_path / series / "report.html" for series in ("abc", "def")}
    os.utime(tmp_path / "abc" / "explained.json", (0, 0))
    for page in pages.values():
        os.utime(page, (1, 1))
    write_report(tmp_path, one_page_bytes=1000, newer_than="explained.json")
    assert {series for series, page in pages.items() if page.stat().st_mtime > 1} == {"def"}
    write_report(tmp_path, one_page_bytes=1000)
    assert pages["abc"].stat().st_mtime > 1


def test_pages_are_written_and_removed_through_no_link_and_over_no_other_file(tmp_path):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    results(out, row(), row("other", series="def"))
    mine = [out / "def" / "report.html", out / "abc" / "report.html"]
    for path in mine:
        path.write_text("findings of a radiologist")
    write_report(out)  # all in one page
    with pytest.raises(InputError, match="was not written by ctxai"):
        write_report(out, one_page_bytes=1000)
    (out / "def").rename(elsewhere)
    (out / "def").symlink_to(elsewhere)
    for size in (1000, 10**7):
        with pytest.raises(InputError, match="is a link"):
            write_report(out, one_page_bytes=size)
    assert {path.read_text() for path in mine} == {"findings of a radiologist"}


@pytest.mark.parametrize("changes", [{"series": "../victim"}, {"series": "def"}, {"nodule_id": "../../../victim"}])
def test_a_hostile_record_names_no_file_of_another_folder(tmp_path, changes):
    out, victim = tmp_path / "out", tmp_path / "victim" / "report.html"
    victim.parent.mkdir()
    victim.write_text("the user's own")
    results(out, row())
    write_record(out / "abc", [row(**changes)])
    for size in (1000, 10**7):
        with pytest.raises(InputError, match="cannot name a folder"):
            write_report(out, one_page_bytes=size)
    assert victim.read_text() == "the user's own"


def test_only_files_of_the_record_are_shown_and_only_as_they_were_written(tmp_path):
    results(tmp_path, row())
    write_report(tmp_path)
    page = page_of(tmp_path)
    folder = tmp_path / "abc" / "nodules" / "LIDC-IDRI-0001-01"
    for suffix in (".json", ".nii.gz"):  # an overlay that no record names
        shutil.copy(folder / f"cdam_malignancy{suffix}", folder / f"agcam_malignancy{suffix}")
    write_report(tmp_path)
    assert page_of(tmp_path) == page
    shutil.copy(folder / "readers.nii.gz", folder / "cdam_malignancy.nii.gz")
    with pytest.raises(InputError, match="is not what `ctxai explain` wrote"):
        write_report(tmp_path)
    (tmp_path / "abc" / "explained.json").unlink()
    with pytest.raises(InputError, match="no finished results of this series"):
        write_report(tmp_path)
    assert page_of(tmp_path) == page


def test_the_same_results_give_the_same_bytes_also_after_a_move(tmp_path):
    write_report(results(tmp_path / "a", row()))
    first = page_of(tmp_path / "a")
    shutil.move(tmp_path / "a", tmp_path / "b")
    write_report(tmp_path / "b")
    assert page_of(tmp_path / "b") == first
    assert str(tmp_path) not in first


def test_names_cannot_smuggle_markup_into_the_page(tmp_path):
    name = '</script><script>alert(1)"&'
    nasty = row("n-1", run=name) | {f"{name}_inside": 0.2, f"{name}_inside_by_chance": 0.1}
    write_crops(tmp_path, row())
    write_predictions(tmp_path, [nasty | {"untrained_views": name}, row()], run=name)
    write_report(tmp_path)
    page = page_of(tmp_path)
    assert "alert(1)&#34;&amp;" in page
    assert not re.search(r"<script>\s*alert", page)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "expected the folder that `ctxai explain` wrote"),
        ("{", "not the predictions"),
        ('{"nodules": []}', "KeyError: 'software'"),
        (
            '{"software": "", "run": "", "weights_sha256": "", "nodules": [{"series": "abc"}]}',
            "nodule_id 'None'",
        ),
        (
            '{"software": "", "run": "", "weights_sha256": "", "nodules": [{"series": "../..", "nodule_id": "a"}]}',
            "cannot name a folder",
        ),
        (
            '{"software": "", "run": "", "weights_sha256": "", "nodules": [{"series": ".", "nodule_id": "a"}]}',
            "cannot name a folder",
        ),
        (
            '{"software": "", "run": "", "weights_sha256": "", "nodules": [{"series": "", "nodule_id": "a"}]}',
            "cannot name a folder",
        ),
    ],
)
def test_a_folder_without_results_is_refused_with_a_reason(tmp_path, content, words):
    if content is not None:
        (tmp_path / "predictions.json").write_text(content)
    with pytest.raises(InputError, match=words):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.mark.parametrize(
    "changes",
    [
        {"series": ".", "nodule_id": "x"},
        {"series": "", "nodule_id": "x"},
        {"series": "..", "nodule_id": "x"},
        {"series": "a/b", "nodule_id": "x"},
        {"series": HOSTILE},
        {"series": 3},
        {"nodule_id": None},
        {"nodule_id": "../../../x"},
        {"n_readers": HOSTILE},
        {"malignancy": HOSTILE},
        {"malignancy_low": [1]},
        {"malignancy_high": float("inf")},
        {"diameter_mm": "9"},
        {"x": None},
        {"in_sample": "no"},
        {"cdam_malignancy_inside": {}},
        {"cdam_malignancy_sanity": 1},
        {"readers_malignancy": True},
    ],
)
def test_a_row_that_no_explanation_writes_is_refused_in_one_line_and_harms_nothing(tmp_path, changes):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.html").write_text("the user's own")
    write_predictions(tmp_path / "out", [row(**changes)])
    with pytest.raises(InputError) as caught:
        write_report(tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "out" / "report.html").read_text() == "the user's own"
    names = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert names - {"explained.json"} == {"predictions.json", "report.html"}


def test_hostile_texts_are_shown_and_not_run(tmp_path):
    nodule = row(untrained_views=HOSTILE, run=HOSTILE)
    write_predictions(tmp_path, [nodule], run=HOSTILE)
    write_report(tmp_path)
    page = page_of(tmp_path)
    assert HOSTILE not in page
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") >= 2
