"""LIDC-IDRI-0001 with every object that is written for it: to an archive, back, and on the screen."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest

from ctxai.cli import main
from ctxai.ct.grid import Grid
from ctxai.ct.series import read_series
from ctxai.inference.formats.base import format_names
from ctxai.pacs.endpoint import peer_of

from system.browser import opened_page, screenshot
from system.ohif import coloured, is_there, look_at, open_series, started_viewer
from system.orthanc import started_orthanc

pytestmark = pytest.mark.system

CONTENT = ("PixelData", "FloatPixelData", "EncapsulatedDocument", "ContentSequence")


@pytest.fixture(scope="module")
def results(lidc_0001, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("real") / "out"
    assert main(["explain", str(lidc_0001), str(out), "--formats", ",".join(format_names()), "--no-trust"]) == 0
    return out


@pytest.fixture(scope="module")
def archive(lidc_0001, results):
    """An Orthanc that has been sent the CT and, by `ctxai send`, all objects."""
    with started_orthanc(dimse=False) as orthanc:
        orthanc.upload(sorted(lidc_0001.rglob("*.dcm")))
        assert main(["send", str(results), "--dicomweb", orthanc.dicomweb_url]) == 0
        yield orthanc


def content_of(source) -> dict[str, object]:
    """What an object is there for: pixels, document or tree of a report."""
    dataset = pydicom.dcmread(source)
    return {keyword: dataset[keyword].value for keyword in CONTENT if keyword in dataset}


def test_all_objects_come_back_from_the_archive_with_their_content_byte_for_byte(lidc_0001, results, archive):
    sent = [*lidc_0001.rglob("*.dcm"), *results.rglob("*.dcm")]
    by_uid = {str(pydicom.dcmread(file, specific_tags=["SOPInstanceUID"]).SOPInstanceUID): file for file in sent}
    assert len(by_uid) == len(sent)
    kinds = {file.parent.name for file in results.rglob("*.dcm")}
    assert {"pmap", "seg", "sr", "sc", "pdf"} <= kinds
    peer = peer_of(archive.dicomweb_url, None)
    back = set()
    for series in peer.find(read_series(lidc_0001).study_uid):
        for uid, content in peer.fetch(series):
            expected = content_of(by_uid[uid])
            assert expected, by_uid[uid]
            assert content_of(io.BytesIO(content)) == expected, by_uid[uid]
            back.add(uid)
    assert back == set(by_uid)


def test_the_models_bands_and_the_four_readers_outlines_are_on_the_screen(lidc_0001, results, archive, chromium):
    (bands,) = results.glob("*/dicom/seg/cdam_*_bands.dcm")
    (nodules,) = results.glob("*/dicom/seg/nodules.dcm")
    assert len(list(results.glob("*/dicom/seg/reading_?.dcm"))) == 4
    grid = read_series(lidc_0001).grid
    far = grid.to_lps(np.array([256, 256, 4]))
    with started_viewer(archive) as viewer, opened_page(chromium, 1000, 700) as page:
        open_series(page, viewer, bands)
        heat = coloured(
            look_at(page, fullest_slice(bands, grid), "real bands", lambda image: coloured(image).sum() > 50)
        )
        assert heat.sum() > 50
        assert not coloured(look_at(page, far, "real bands far away")).any()
        for reading in range(1, 5):
            page.get_by_text(f"Nodules: reading {reading}").first.dblclick()
            page.wait_for_function(f"services.segmentationService.getSegmentations().length == {2 + reading}")
        outlines = look_at(page, fullest_slice(nodules, grid), "real readers", lambda image: is_there(coloured(image)))
        assert is_there(coloured(outlines))
        assert not coloured(look_at(page, far, "real readers far away")).any()


def test_the_first_screen_shows_the_nodule_its_outline_and_a_map_and_one_click_shows_another(
    lidc_0001, results, archive, chromium
):
    (bands,) = results.glob("*/dicom/seg/cdam_malignancy_bands.dcm")
    (nodules,) = results.glob("*/dicom/seg/nodules.dcm")
    middle = read_series(lidc_0001).grid.to_index(fullest_slice(nodules, read_series(lidc_0001).grid))[2]
    with started_viewer(archive) as viewer, opened_page(chromium, 1600, 1000) as page:
        open_series(page, viewer, bands)
        buttons = page.get_by_role("toolbar", name="Maps").get_by_role("button")
        buttons.first.wait_for()
        assert buttons.all_inner_texts() == ["cdam malignancy", "path gradients malignancy"]
        assert drawn(page) == ["Nodules: readers", "cdam malignancy: bands"]
        shown = page.evaluate("cornerstone.getEnabledElements()[0].viewport.getCurrentImageIdIndex()")
        last = read_series(lidc_0001).grid.shape[0] - 1
        assert min(abs(shown - middle), abs(last - shown - middle)) <= 3  # the viewer counts from either end
        page.wait_for_timeout(2000)
        assert is_there(coloured(screenshot(page, "real first screen")[300:, 700:1100]))
        buttons.last.click()
        page.wait_for_function("document.querySelector('#ctxai-maps').lastChild.ariaPressed === 'true'")
        assert drawn(page) == ["Nodules: readers", "path_gradients malignancy: bands"]


def drawn(page) -> list[str]:
    """What lies over the image, without the words that all descriptions end with."""
    labels = page.evaluate(
        """() => services.segmentationService
            .getSegmentationRepresentations(services.viewportGridService.getActiveViewportId())
            .map((one) => one.label)"""
    )
    return sorted(label.partition(" - ")[0] for label in labels)


def fullest_slice(segmentation: Path, grid: Grid) -> np.ndarray:
    """The middle of the slice in which most is segmented, LPS mm."""
    dataset = pydicom.dcmread(segmentation)
    pixels: Counter[float] = Counter()
    for frame, item in zip(dataset.pixel_array, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        pixels[float(item.PlanePositionSequence[0].ImagePositionPatient[2])] += np.count_nonzero(frame)
    return np.array([*grid.centre[:2], pixels.most_common(1)[0][0]])
