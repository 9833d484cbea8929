"""Service loop: each complete series of an inbox is explained and delivered, retried, or parked with its reason."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from ctxai.ct.dicom_errors import PARSE_ERRORS
from ctxai.errors import InputError, PacsError, fault_of
from ctxai.files import write_text
from ctxai.pacs.client import PacsClient
from ctxai.pacs.delivery import deliver
from ctxai.pacs.inbox import REASON, Arrived, Inbox, remove_images
from ctxai.progress import console

INCOMING, RESULTS, REFUSED, DELIVERED = "incoming", "results", "refused", "delivered"
_LONGEST_PAUSE_S = 900.0
#: A series that seems incomplete waits this many times as long as others.
_HOLD = 4
_GAP = 1.5

logger = logging.getLogger(__name__)


@dataclass
class Watcher:
    """Steps of every series that has come.

    Attributes:
        inbox: storage service.
        spool: folder of everything that is not delivered yet.
        peer: receiver of the objects.
        explain: makes objects of the images in a folder, in a results folder; returns their files.
        results_of: folder for the results of a series, by its key.
        settle_s: seconds without a new image after which a series counts as complete.
        retry_s: seconds before the first new attempt to deliver; they double up to 15 minutes.
        keep_s: seconds that the images of a delivered series stay, for late images.
        ask_peer: compare the number of images with the peer's own, where it has the series.
    """

    inbox: Inbox
    spool: Path
    peer: PacsClient
    explain: Callable[[Path, Path], Sequence[Path]]
    results_of: Callable[[str], Path]
    settle_s: float
    retry_s: float
    keep_s: float
    ask_peer: bool
    _later: dict[str, tuple[float, float]] = field(default_factory=dict)
    _held: dict[str, tuple[float, str]] = field(default_factory=dict)

    def step(self) -> None:
        """Work on every series whose time has come; no answer and no series ends the service."""
        for series in self.inbox.quiet(self.settle_s):
            key = series.folder.name
            not_before, pause = self._later.get(key, (0.0, self.retry_s))
            if time.monotonic() < not_before or self._is_held(series):
                continue
            try:
                self._handle(series)
                self._later.pop(key, None)
            except Exception as error:
                reason = str(error) if isinstance(error, InputError) else fault_of(error).splitlines()[0]
                logger.warning("series %s: %s; tried again in %.0f s", key, reason, pause)
                logger.debug("series %s", key, exc_info=True)
                self._later[key] = (time.monotonic() + pause, min(2 * pause, _LONGEST_PAUSE_S))
        self._forget_delivered()

    def _handle(self, series: Arrived) -> None:
        """Explain one series, deliver it, and let its images go.

        Raises:
            PacsError: when the peer cannot be reached, or refuses for the time being; the series stays.
        """
        key = series.folder.name
        try:
            paths = self.explain(series.folder, self.results_of(key))
        except InputError as error:
            self._park(series, str(error))
            return
        except Exception as error:
            logger.debug("series %s", key, exc_info=True)
            self._park(series, fault_of(error))
            return
        if not paths:
            self._park(series, "no nodule is known for this series; name it in the points with its series_uid")
            return
        refused = deliver(self.results_of(key), paths, self.peer, attempts=1)
        if refused:
            reason = (
                f"{self.peer.name} did not accept {len(refused)} of {len(paths)} objects: "
                f"{next((one for one in refused if not one.temporary), refused[0]).message}"
            )
            if all(one.temporary for one in refused):
                raise PacsError(reason)
            self._park(series, reason)
        elif self.inbox.let_go(series, self.spool / DELIVERED / key if self.keep_s > 0 else None):
            if self.keep_s > 0:
                os.utime(self.spool / DELIVERED / key)
            console.print(f"series {key}: {len(paths)} objects delivered")

    def _park(self, series: Arrived, reason: str) -> None:
        target = self.spool / REFUSED / series.folder.name
        if self.inbox.let_go(series, target):
            write_text(target / REASON, f"{reason}\nto try again: the same `ctxai watch` with --retry\n")
            logger.warning("series %s refused: %s", series.folder.name, reason.splitlines()[0])

    def _is_held(self, series: Arrived) -> bool:
        """Whether a series that seems incomplete waits for more images."""
        key = series.folder.name
        if time.monotonic() - series.last >= _HOLD * self.settle_s:
            return False
        if self._held.get(key, (None, ""))[0] != series.last:
            self._held[key] = (series.last, missing_images(series.folder, self.peer if self.ask_peer else None))
            if self._held[key][1]:
                logger.info("series %s waits: %s", key, self._held[key][1])
        return bool(self._held[key][1])

    def _forget_delivered(self) -> None:
        for folder in (self.spool / DELIVERED).glob("*"):
            if time.time() - folder.stat().st_mtime > self.keep_s:
                remove_images(folder)


def bring_back_refused(spool: Path) -> int:
    """Move refused series to where new ones come in; returns how many."""
    count = 0
    for folder in sorted((spool / REFUSED).glob("*")):
        target = spool / INCOMING / folder.name
        if folder.is_dir() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            (folder / REASON).unlink(missing_ok=True)
            folder.rename(target)
            count += 1
    return count


def missing_images(folder: Path, peer: PacsClient | None) -> str:
    """Why a series seems incomplete: a gap between its slices, or more images at the peer. Empty where nothing says so.

    Args:
        folder: its images.
        peer: asked for Number of Series Related Instances, where it answers queries; None asks nobody.
    """
    tags = ["ImagePositionPatient", "ImageOrientationPatient", "StudyInstanceUID", "SeriesInstanceUID"]
    try:
        headers = [dcmread(path, stop_before_pixels=True, specific_tags=tags) for path in sorted(folder.glob("*.dcm"))]
        row, column = np.reshape([float(x) for x in headers[0].ImageOrientationPatient], (2, 3))
        positions = [[float(x) for x in one.ImagePositionPatient] for one in headers]
        steps = np.diff(np.unique(np.round(positions @ np.cross(row, column), 3)))
        if len(steps) and steps.max() > _GAP * np.median(steps):
            return f"a gap of {steps.max():.1f} mm between slices {np.median(steps):.1f} mm apart"
        if peer is not None:
            found = peer.find(str(headers[0].StudyInstanceUID), "CT")
            known = [one.instances for one in found if one.series_uid == headers[0].SeriesInstanceUID]
            if known and known[0] is not None and known[0] > len(headers):
                return f"{len(headers)} of the {known[0]} images that {peer.name} has"
    except (InvalidDicomError, PacsError, *PARSE_ERRORS) as error:
        logger.debug("completeness is not known: %s", error)
    return ""
