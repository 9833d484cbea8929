"""A DICOM Structured Report with a measurement group, by highdicom."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from ctxai.ct.series import CTSeries


def write_report(series: CTSeries, path: Path, centre: np.ndarray, diameter_mm: float, three: bool) -> None:
    """A Comprehensive 3D SR with one measurement group, by highdicom."""
    images = [pydicom.dcmread(header.path) for header in series.headers]
    column, row, number = series.grid.to_index(centre)
    if three:
        region = hd.sr.ImageRegion3D(
            hd.sr.GraphicTypeValues3D.POINT, centre[None], frame_of_reference_uid=images[0].FrameOfReferenceUID
        )
    else:
        source = hd.sr.SourceImageForRegion.from_source_image(images[round(number)])
        region = hd.sr.ImageRegion(
            hd.sr.GraphicTypeValues.POINT, np.array([[column + 0.5, row + 0.5]]), source_image=source
        )
    kind = hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations
    group = kind(
        tracking_identifier=hd.sr.TrackingIdentifier(generate_uid(), "nodule A"),
        referenced_region=region,
        measurements=[hd.sr.Measurement(codes.SCT.Diameter, diameter_mm / 10, codes.UCUM.Centimeter)],
    )
    observer = hd.sr.ObserverContext(codes.DCM.Person, hd.sr.PersonObserverIdentifyingAttributes("Reader^A"))
    report = hd.sr.MeasurementReport(
        hd.sr.ObservationContext(observer_person_context=observer),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=[group],
    )
    hd.sr.Comprehensive3DSR(
        images, report, generate_uid(), 1, generate_uid(), 1, manufacturer="a", is_complete=True, is_final=True
    ).save_as(path)
