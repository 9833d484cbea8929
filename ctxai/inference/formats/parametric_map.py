"""DICOM Parametric Maps: the true values of a map."""

from __future__ import annotations

import logging

from pydicom.dataset import Dataset

from ctxai.export.dicom.parametric_map import untried_in_ohif, write_parametric_maps
from ctxai.inference.formats.base import MapOverlay, OutputFormat, SeriesOutput
from ctxai.inference.formats.segmentation import write_bands

logger = logging.getLogger(__name__)


class ParametricMaps(OutputFormat):
    """Evidence for a target and evidence against it, one object each."""

    name = "pmap"
    summary = "Parametric Map: the true values, deflated"
    order = 20

    def write_nodules(self, output: SeriesOutput) -> list[Dataset]:
        """Warn of a CT on which OHIF may misplace Parametric Maps."""
        if untried := untried_in_ohif(output.series.grid):
            logger.warning(
                "%s: %s; OHIF may misplace its Parametric Map, use the bands in dicom/seg", output.series.key, untried
            )
        return []

    def write_map(self, output: SeriesOutput, overlay: MapOverlay) -> list[Dataset]:
        """Write a map and, on such a CT, its bands in any case."""
        folder = output.dicom / "pmap"
        written = write_parametric_maps(
            folder, overlay.content, output.source, overlay.provenance, overlay.scale, deflated=self.deflated
        )
        if not {"seg", "seg-plain"} & {*output.formats} and untried_in_ohif(output.series.grid):
            written.append(write_bands(output, overlay, self.deflated))
        return written


class PlainParametricMaps(ParametricMaps):
    """The same objects uncompressed, for archives that refuse Deflated Explicit VR Little Endian."""

    name = "pmap-plain"
    summary = "Parametric Map as pmap, uncompressed"
    order = 21
    deflated = False
