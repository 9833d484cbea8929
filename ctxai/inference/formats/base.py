"""The contract of an output format, and the registry of formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydicom.dataset import Dataset

from ctxai.ct.grid import Grid
from ctxai.ct.volume import CT
from ctxai.data.targets import TargetTable
from ctxai.errors import InputError
from ctxai.export.dicom.source import SourceSeries
from ctxai.export.nodule_summary import NoduleSummary
from ctxai.export.overlay import colour_scale_of, merge_to_content, scale_of, to_ct_grid
from ctxai.export.provenance import Provenance
from ctxai.export.sparse import SparseVolume, zeros
from ctxai.inference.nodule import ExplainedNodule
from ctxai.inference.summary import summarise_nodule
from ctxai.registry import Registry
from ctxai.results_folder import DICOM
from ctxai.suggestions import did_you_mean

FORMATS: Registry[type[OutputFormat]] = Registry("an output format", "ctxai.inference.formats", "ctxai.formats")

_PLAIN = "-plain"


class OutputFormat:
    """One kind of object that is written for an explained series.

    A subclass sets the class attributes and overrides those of the three methods that it needs. They are called in
    this order: once for the series, once for every map (each method with each target), once at the end. Formats take
    turns in the order of ``order``. A new object is made for each series, so that it may keep state between calls.

    Attributes:
        name: the word for ``--formats``.
        summary: a few words for the help and the documentation.
        dicom: whether it makes DICOM objects, which need the headers of the CT and which a PACS accepts.
        deflated: whether its images and maps are in Deflated Explicit VR Little Endian.
        order: place among the formats.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    dicom: ClassVar[bool] = True
    deflated: ClassVar[bool] = True
    order: ClassVar[int] = 100

    def __init_subclass__(cls) -> None:
        """Register the format under its name."""
        FORMATS.register(cls.name, cls)

    def write_nodules(self, output: SeriesOutput) -> list[Dataset]:
        """Write what does not depend on a map.

        Returns:
            References to DICOM objects that reports are to cite.
        """
        return []

    def write_map(self, output: SeriesOutput, overlay: MapOverlay) -> list[Dataset]:
        """Write one map.

        Returns:
            References to DICOM objects that reports are to cite.
        """
        return []

    def write_report(self, output: SeriesOutput, references: Sequence[Dataset]) -> None:
        """Write what is about all maps at once.

        Args:
            output: the series.
            references: DICOM objects to cite.
        """


@dataclass(frozen=True, eq=False)
class SeriesOutput:
    """An explained series, as formats get it.

    Attributes:
        folder: the series' folder of results.
        series: the CT.
        nodules: what was explained.
        rows: the nodules' rows of predictions.csv.
        provenances: method and target of every map, in order.
        formats: names of all formats that are written.
        std: write the standard deviation over the views, too.
        headers: the CT's headers; None where no format needs them.
        own: targets of one's own; None where LIDC-IDRI's were predicted.
    """

    folder: Path
    series: CT
    nodules: Sequence[ExplainedNodule]
    rows: Sequence[dict[str, Any]]
    provenances: Sequence[Provenance]
    formats: Sequence[str]
    std: bool = False
    headers: SourceSeries | None = None
    own: TargetTable | None = None

    @property
    def source(self) -> SourceSeries:
        """Headers of the CT, for DICOM formats.

        Raises:
            InputError: for a format that did not declare that it needs them.
        """
        if self.headers is None:
            raise InputError(
                f"{', '.join(self.formats)}: headers of the CT were not read; set dicom = True on the format"
            )
        return self.headers

    @property
    def dicom(self) -> Path:
        """Folder of DICOM objects."""
        return self.folder / DICOM

    @cached_property
    def summaries(self) -> list[NoduleSummary]:
        """Predictions, readers' ratings and warnings of each nodule, as reports show them."""
        return [summarise_nodule(self.series, *each, self.own) for each in zip(self.nodules, self.rows, strict=True)]

    @cached_property
    def provenance(self) -> Provenance:
        """All methods and targets at once, for what is about all of them."""
        each = self.provenances
        return replace(
            each[0],
            method=", ".join(dict.fromkeys(one.method for one in each)),
            target=", ".join(dict.fromkeys(one.target for one in each)),
            options={one.stem: one.options for one in each} if len(each) > 1 else each[0].options,
            reference="; ".join(dict.fromkeys(one.reference for one in each)),
        )


@dataclass(frozen=True, eq=False)
class MapOverlay:
    """The map of one method and target on the CT's grid.

    Attributes:
        provenance: how it was made.
        key: names of method and target.
        nodules: what it covers.
        grid: the CT's grid.
    """

    provenance: Provenance
    key: tuple[str, str]
    nodules: Sequence[ExplainedNodule]
    grid: Grid

    @cached_property
    def content(self) -> SparseVolume:
        """The map, float32 [slice, row, column], and where it is not 0."""
        return merge_to_content(((n.maps[self.key].values, n.patch.grid) for n in self.nodules), self.grid)

    @property
    def values(self) -> np.ndarray:
        """The map, float32 [slice, row, column]; 0 where nothing was explained."""
        return self.content.array

    @cached_property
    def scale(self) -> float:
        """Largest magnitude of the map; 1 where it is 0 everywhere."""
        return scale_of(self.content)

    @cached_property
    def nodule_scales(self) -> dict[str, float]:
        """Scale of the colours in each nodule's patch, by nodule id; see `colour_scale_of`."""
        return {nodule.candidate.nodule_id: colour_scale_of(nodule.maps[self.key].values) for nodule in self.nodules}

    @property
    def shares(self) -> SparseVolume:
        """The map as shares of the scale of the colours in each nodule, float32 [slice, row, column]."""
        maps = [
            (nodule.maps[self.key].values / np.float32(scale), nodule.patch.grid)
            for nodule, scale in zip(self.nodules, self.nodule_scales.values(), strict=True)
        ]
        return merge_to_content(maps, self.grid)

    @property
    def std(self) -> SparseVolume:
        """Standard deviation over the views, float32 [slice, row, column]; 0 where no two views cover a voxel.

        Where patches overlap, it is that of the nodule whose value stands there.
        """
        shown = zeros(self.grid.shape, np.float32)
        volume = zeros(self.grid.shape, np.float32)
        taken = zeros(self.grid.shape, bool)
        places = []
        for nodule in self.nodules:
            fused = nodule.maps[self.key]
            values = to_ct_grid(fused.values, nodule.patch.grid, self.grid)
            std = to_ct_grid(fused.std, nodule.patch.grid, self.grid)
            place = values.place
            stands = values.covered & (~taken[place] | (np.abs(values.values) > np.abs(shown[place])))
            np.copyto(shown[place], values.values, where=stands)
            np.copyto(volume[place], std.values, where=stands)
            taken[place] |= stands
            places.append(place)
        return SparseVolume.within(volume, places)


def parse_formats(text: str) -> tuple[str, ...]:
    """``"seg,nifti"`` as names of formats in their own order.

    Raises:
        InputError: for another name, or none.
    """
    asked = [part.strip() for part in text.split(",") if part.strip()]
    known = format_names()
    unknown = [name for name in asked if name not in known]
    if unknown or not asked:
        meant = did_you_mean(unknown[0], known) if unknown else ""
        raise InputError(f"--formats {text}: expected some of {','.join(known)}{meant}")
    return tuple(name for name in known if name in asked)


def format_names() -> list[str]:
    """Names of all formats in their order."""
    return [each.name for each in sorted(FORMATS, key=lambda each: (each.order, each.name))]


def without_twins(formats: Sequence[str]) -> list[str]:
    """The formats without a plain one beside the deflated one of the same objects."""
    return [name for name in formats if not (name.endswith(_PLAIN) and name.removesuffix(_PLAIN) in formats)]


def needs_headers(formats: Sequence[str]) -> bool:
    """Whether one of the formats makes DICOM objects."""
    return any(FORMATS.get(name).dicom for name in formats)
