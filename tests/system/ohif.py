"""OHIF in a browser, seen by its pixels."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from ctxai.viewer import ViewerServer, find_ohif, viewer_url

from system.browser import screenshot
from system.orthanc import Orthanc
from system.requirements import require

#: Pixels of the viewport's edge that hold letters and buttons.
EDGE = 70
_PATIENCE_S = 150.0
_SHOWS_A_VOLUME = """() => {
    const view = window.cornerstone?.getRenderingEngines()[0]?.getViewports()[0];
    return view?.getImageData?.() && view.getNumberOfSlices() >= 2;
}"""
_LOADS = 3
#: Go to the slice through a point; false while the viewer is not ready, as when it exchanges one viewport for another.
_JUMP = """(point) => {
    const view = window.cornerstone?.getRenderingEngines()[0]?.getViewports()[0];
    if (!view?.getImageData?.() || view.getNumberOfSlices() < 2) return false;
    view.jumpToWorld(point);
    view.render();
    return true;
}"""

#: The viewer's passing notices lie over the picture for some seconds, and are coloured, too.
_NO_NOTICES = """document.addEventListener("DOMContentLoaded", () => {
    const style = document.createElement("style");
    style.textContent = "[data-sonner-toaster] { display: none !important; }";
    document.head.append(style);
});"""


def started_viewer(orthanc: Orthanc) -> ViewerServer:
    """The viewer on an Orthanc, to use as a context manager; skips or, in CI, fails where OHIF is absent."""
    folder = find_ohif()
    require(folder is not None, "OHIF", "it with `make viewer`")
    return ViewerServer(folder, orthanc.address)


def open_series(page: Page, viewer: ViewerServer, file: Path) -> None:
    """Open the study of a DICOM file with that file's series up, by address alone."""
    dataset = pydicom.dcmread(file, stop_before_pixels=True)
    open_address(page, viewer_url(viewer.url, dataset.StudyInstanceUID, dataset.SeriesInstanceUID))


def open_address(page: Page, url: str) -> None:
    """Open an address of the viewer and wait for its image.

    OHIF at times never comes up on a machine that does much else; then the page is loaded again, as a reader would.
    """
    page.add_init_script(_NO_NOTICES)
    for left in reversed(range(_LOADS)):
        page.goto(url, wait_until="commit")
        try:
            page.wait_for_function(_SHOWS_A_VOLUME, timeout=1000 * _PATIENCE_S / _LOADS)
            return
        except PlaywrightTimeoutError:
            if not left:
                raise


def look_at(
    page: Page, point: np.ndarray, name: str, enough: Callable[[np.ndarray], bool] = lambda image: True
) -> np.ndarray:
    """The viewport at the slice through a point, once it no longer changes and shows enough.

    Args:
        page: where the viewer is.
        point: LPS mm.
        name: of the screenshot.
        enough: what the picture has to fulfil; drawing takes a while. The last picture is given when it never does.

    Returns:
        uint8 [row, column, RGB], without the viewport's edge.
    """
    deadline = time.monotonic() + _PATIENCE_S
    before = None
    while True:
        ready = page.evaluate(_JUMP, [float(value) for value in point])
        page.wait_for_timeout(400)
        if ready:
            pane = page.locator("[data-cy=viewport-pane]").first.bounding_box()
            image = screenshot(page, name, pane)[EDGE:-EDGE, EDGE:-EDGE]
            if before is not None and np.array_equal(image, before) and enough(image):
                return image
            before = image
        if time.monotonic() > deadline:
            if before is None:
                raise TimeoutError(
                    f"{name}: the viewer has shown no image for {_PATIENCE_S:.0f} s; see {page.problems}"
                )
            return before


def coloured(image: np.ndarray) -> np.ndarray:
    """Pixels that are no grey, as the CT's are: bool [row, column]."""
    return np.ptp(image.astype(int), axis=2) > 60


def is_there(mask: np.ndarray) -> bool:
    """Whether a mask has more than a few stray pixels."""
    return np.count_nonzero(mask) > 200


def middle(mask: np.ndarray) -> np.ndarray:
    """Mean (row, column) of a mask."""
    return np.argwhere(mask).mean(axis=0)
