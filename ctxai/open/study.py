"""The CT series that are open, and the marks that came with them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from pydicom.multival import MultiValue

from ctxai.ct.archive import unpacked
from ctxai.ct.dicom_errors import PARSE_ERRORS, open_dataset, without_warnings
from ctxai.ct.header import SliceHeader, series_key
from ctxai.ct.search import find_series
from ctxai.ct.series import CTSeries
from ctxai.ct.slice_sorting import is_volume
from ctxai.ct.volume import CT, CTVolume
from ctxai.ct.volume_file import suffix_of
from ctxai.deidentification.pseudonyms import Pseudonymizer
from ctxai.errors import InputError
from ctxai.open.marks import Mark
from ctxai.open.planes import Planes

if TYPE_CHECKING:
    from ctxai.annotations import AnnotatedNodule

_TEXTS = ("SeriesDescription", "StudyDate", "SeriesNumber", "ConvolutionKernel")
_LONGEST_TEXT = 64

logger = logging.getLogger(__name__)


class OpenedSeries:
    """One CT, opened when it is first looked at.

    Args:
        uid: Series Instance UID, or the name of a file that has none.
        make: opens it.
        texts: what the page calls it: description, date, number, kernel.
        patient: gives the pseudonym of the patient.
        key: name in paths; made from the UID when not given.
        owner: names the patient, for no other eyes; series of one patient are shown beside each other.

    Attributes:
        fault: why it cannot be shown; empty where it can.
    """

    def __init__(
        self,
        uid: str,
        make: Callable[[], CT],
        texts: Mapping[str, str],
        patient: Callable[[], str] = str,
        key: str = "",
        owner: str = "",
    ) -> None:
        self.uid, self.patient, self.texts, self.owner = uid, patient, texts, owner
        self.key = key or series_key(uid)
        self.fault = ""
        self._make = make
        self._lock = Lock()
        self._filling = False

    @cached_property
    def _ct(self) -> CT:
        return self._make()

    @property
    def ct(self) -> CT:
        """The CT.

        Raises:
            InputError: when it cannot be opened, such as one that is no regular volume.
        """
        with self._lock:
            return self._ct

    @cached_property
    def _planes(self) -> Planes:
        return Planes(self._ct)

    @property
    def planes(self) -> Planes:
        """Its voxels as they are shown.

        Raises:
            InputError: as :attr:`ct`.
        """
        with self._lock:
            return self._planes

    @property
    def share_read(self) -> float:
        """Share of its slices that are in memory; 0 before it is looked at."""
        return self._planes.share_read if "_planes" in self.__dict__ else 0.0

    def fill(self) -> None:
        """Read all slices in a thread of their own."""
        planes = self.planes
        with self._lock:
            if self._filling:
                return
            self._filling = True
        Thread(target=self._fill, args=(planes,), name="slices", daemon=True).start()

    def _fill(self, planes: Planes) -> None:
        try:
            for _ in planes.fill():
                pass
        except InputError as error:
            self.fault = str(error)
            logger.warning("%s", error)

    def release(self) -> None:
        """Forget the voxels."""
        with self._lock:
            self.__dict__.pop("_planes", None)
            self._filling = False


class Study:
    """The series of a folder, an archive or a volume file, and marks from a file.

    Args:
        input: where the CT is.
        points: marks of any annotation source; those with a score are proposals.

    Attributes:
        series: by key, in the order of the tree.
        given: the marks of ``points``.

    Raises:
        InputError: when there is no CT, or the marks belong to none of its series.
    """

    def __init__(self, input: Path, points: Path | None = None) -> None:
        self._stack = ExitStack()
        self.series: dict[str, OpenedSeries] = {}
        self.given: list[Mark] = []
        try:
            self._open(input, points)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove what was unpacked."""
        self._stack.close()

    def _open(self, input: Path, points: Path | None) -> None:
        if suffix_of(input) and input.is_file():
            uid = input.name[: len(input.name) - len(suffix_of(input))]
            one = OpenedSeries(uid, lambda: CTVolume.from_file(input), {"SeriesDescription": input.name})
            self.series[one.key] = one
            groups = None
        else:
            folder = self._stack.enter_context(unpacked(input))
            damaged: dict[Path, str] = {}
            found = find_series(folder, damaged, label=input)
            for reason in damaged.values():
                logger.warning("left out: %s", reason)
            groups = [group for group in found.values() if is_volume(group)] or list(found.values())
            for group in groups:
                one = _of_dicom(group)
                self.series[one.key] = one
        if points is not None:
            self.given = _marks(points, groups, list(self.series.values()))


def _of_dicom(group: list[SliceHeader]) -> OpenedSeries:
    first = group[0]
    owner = f"{first.patient_id}\n{first.issuer}" if first.patient_id else first.study_uid
    texts = _texts(first.path)
    return OpenedSeries(first.series_uid, lambda: CTSeries(group), texts, lambda: Pseudonymizer()(first), owner=owner)


def _texts(path: Path) -> dict[str, str]:
    """Description of the series by its header, without the patient's name."""
    try:
        with without_warnings():
            dataset = open_dataset(path, stop_before_pixels=True, specific_tags=list(_TEXTS))
            return {name: _printable(dataset.get(name)) for name in _TEXTS}
    except (InputError, *PARSE_ERRORS):
        return {}


def _printable(value: Any) -> str:
    text = "/".join(map(str, value)) if isinstance(value, list | MultiValue) else str(value or "")
    return "".join(letter for letter in text if letter.isprintable())[:_LONGEST_TEXT]


def _marks(path: Path, groups: list[list[SliceHeader]] | None, series: list[OpenedSeries]) -> list[Mark]:
    """Marks of an annotation file, in the series that they belong to.

    Args:
        path: of any annotation source.
        groups: headers of each series; None for a volume file.
        series: the CTs.

    Raises:
        InputError: when it cannot be read, belongs to none of the series, or lies outside of its CT.
    """
    from ctxai.annotations import CTDescription, annotate, open_annotations
    from ctxai.annotations.matching import require_some
    from ctxai.inference.nodules import describe_series

    cts = [CTDescription(one.uid, "", "") for one in series] if groups is None else describe_series(groups)
    source = open_annotations(path)
    found = annotate(source, cts)
    require_some(source, found, cts)
    by_uid = {one.uid: one for one in series}
    return [_mark(by_uid[str(one.series_uid)], one, source.name) for one in found.nodules]


def _mark(series: OpenedSeries, nodule: AnnotatedNodule, source: str) -> Mark:
    """A mark of a file; a detector's, which has a score, is a proposal.

    Raises:
        InputError: for a nodule without a position of its own, outside of its CT, or in a CT that cannot be opened.
    """
    from ctxai.inference.nodules import require_inside

    if nodule.centre_lps is None:
        raise InputError(f"{nodule.origin}: {nodule.nodule_id} has no position of its own; give points or a mask")
    require_inside(series.ct, nodule.nodule_id, nodule.centre_lps)
    x, y, z = (round(float(value), 3) for value in nodule.centre_lps)
    try:
        score = float(nodule.columns["score"]) if nodule.columns.get("score") else None
    except ValueError:
        raise InputError(f"{nodule.origin}: expected a number as score") from None
    state = "marked" if score is None else "proposed"
    return Mark(series.key, nodule.nodule_id, x, y, z, state, nodule.diameter_mm, score, source)
