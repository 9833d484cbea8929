"""DICOM structured reports of nodules (PS3.16 TID 1500): a region in the key slice of each, with all its numbers.

Viewers show numeric items (NUM) of a planar region and hide coded ones, so whatever a reader must see is a
number, rounded as people read it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    ImageRegion,
    Measurement,
    MeasurementProperties,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForRegion,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as dictionary
from pydicom.sr.coding import Code
from pydicom.tag import Tag

from ctxai.disclaimer import NOTICE
from ctxai.errors import InputError
from ctxai.export.dicom import codes
from ctxai.export.dicom.derived import content_uid, finish_and_write, shared_arguments, tracking_uid
from ctxai.export.dicom.multiframe import instances_of
from ctxai.export.dicom.part10 import Elements, encode, item, sequence
from ctxai.export.dicom.rating_codes import RATING_CONCEPTS, own_concept, rating_codes
from ctxai.export.dicom.source import SourceSeries
from ctxai.export.nodule_summary import OVER_MODELS, Estimate, NamedValue, NoduleSummary
from ctxai.export.provenance import Provenance, shorten

_SERIES_NUMBER = 9201
_EVIDENCE = Tag("CurrentRequestedProcedureEvidenceSequence")
_SERIES = Tag("ReferencedSeriesSequence")
_INSTANCES = Tag("ReferencedSOPSequence")


def write_structured_report(
    path: Path | str,
    nodules: Sequence[NoduleSummary],
    source: SourceSeries,
    provenance: Provenance,
    references: Sequence[Dataset] = (),
    title: str = "Nodule report",
    series_number: int = _SERIES_NUMBER,
) -> Dataset:
    """Write one report with a measurement group per nodule, under the nodule's own tracking UID.

    Args:
        path: file to write.
        nodules: what is said, in the order to show.
        source: the CT.
        provenance: how the predictions and maps came to be.
        references: the Segmentations and Parametric Maps that belong to it, as their writers returned them; they stand
            in the report's evidence.
        title: for the series' description.
        series_number: number of the series.

    Returns:
        A reference to the report.

    Raises:
        InputError: when there is no nodule, or its key slice is not in the CT.
    """
    if not nodules:
        raise InputError(f"{path}: no nodule to report")
    for nodule in nodules:
        if not 0 <= nodule.outline.slice_index < len(source.images):
            raise InputError(
                f"{path}: nodule {nodule.nodule_id} lies in slice {nodule.outline.slice_index}, but the CT has "
                f"{len(source.images)}"
            )
    key_images = [source.instances[number] for number in _key_slices(nodules)]
    dataset = ComprehensiveSR(
        evidence=[source.first, *key_images, *references],  # of the CT's images, all are put in below
        content=report_content(nodules, source, provenance),
        is_complete=True,
        is_final=False,
        is_verified=False,
        **shared_arguments(source, provenance, title, series_number),
    )
    return finish_and_write(dataset, source, provenance, path, encoded=_evidence(dataset, source))


def _evidence(dataset: Dataset, source: SourceSeries) -> Elements:
    """The Current Requested Procedure Evidence Sequence, which the object gives up, with all images of the CT."""
    (study,) = dataset.CurrentRequestedProcedureEvidenceSequence
    images, *others = [encode(series) for series in study.ReferencedSeriesSequence]
    images[_INSTANCES] = sequence(_INSTANCES, b"".join(map(item, instances_of(source))))
    series = sequence(_SERIES, b"".join(map(item, [images, *others])))
    del dataset.CurrentRequestedProcedureEvidenceSequence
    return {_EVIDENCE: sequence(_EVIDENCE, item(encode(study) | {_SERIES: series}))}


def report_content(nodules: Sequence[NoduleSummary], source: SourceSeries, provenance: Provenance) -> MeasurementReport:
    """The report's tree of content (TID 1500).

    Args:
        nodules: what is said, in the order to show.
        source: the CT.
        provenance: how the predictions and maps came to be.
    """
    return MeasurementReport(
        observation_context=ObservationContext(observer_device_context=_observer(provenance)),
        procedure_reported=codes.CT_CHEST,
        imaging_measurements=[_group(nodule, source, provenance) for nodule in nodules],
        title=dictionary.DCM.ImagingMeasurementReport,
        referenced_images=[source.images[number] for number in _key_slices(nodules)],
    )


def _key_slices(nodules: Sequence[NoduleSummary]) -> list[int]:
    return sorted({nodule.outline.slice_index for nodule in nodules})


def _observer(provenance: Provenance) -> ObserverContext:
    return ObserverContext(
        observer_type=dictionary.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=content_uid("device", provenance.software, provenance.version, provenance.weights_sha256),
            name=f"{provenance.software}; {NOTICE}",
            manufacturer_name=provenance.software,
            model_name=shorten(provenance.run or provenance.software, 64),
        ),
    )


def _group(
    nodule: NoduleSummary, source: SourceSeries, provenance: Provenance
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    """TID 1410 of one nodule."""
    image = source.instances[nodule.outline.slice_index]
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=tracking_uid(source, nodule.nodule_id), identifier=nodule.nodule_id),
        referenced_region=ImageRegion(
            graphic_type="POLYLINE",
            graphic_data=nodule.outline.points,
            source_image=SourceImageForRegion(image.SOPClassUID, image.SOPInstanceUID),
        ),
        geometric_purpose=codes.OUTLINE if nodule.outline.drawn else codes.BOUNDED_BY,
        finding_type=codes.NODULE,
        finding_category=codes.ABNORMAL_STRUCTURE,
        finding_sites=[FindingSite(anatomic_location=codes.LUNG)],
        algorithm_id=_algorithm(provenance) if nodule.estimates or nodule.figures else None,
        measurements=list(_measurements(nodule)),
        qualitative_evaluations=list(_evaluations(nodule)) or None,
    )


def _algorithm(provenance: Provenance) -> AlgorithmIdentification:
    return AlgorithmIdentification(
        name=shorten(provenance.run or provenance.method, 64),
        version=provenance.version,
        parameters=[provenance.describe(1024)],
    )


def _measurements(nodule: NoduleSummary) -> Iterator[Measurement]:
    """Numbers in the order to show, because some viewers draw the first few only: the first estimate in full."""
    for place, estimate in enumerate(nodule.estimates):
        yield _estimate(estimate)
        if place == 0:
            yield from _interval(estimate)
            yield from _figures_and_doubts(nodule)
        if estimate.readers is not None and estimate.name != "diameter":
            yield Measurement(
                own_concept(f"{_words(estimate)}, readers' mean"),
                round(estimate.readers, 1),
                codes.SCORE,
                derivation=codes.MEAN,
            )
    if not nodule.estimates:
        yield from _figures_and_doubts(nodule)
    yield from _spreads(nodule)
    if nodule.diameter_mm is not None:
        yield Measurement(codes.DIAMETER, round(nodule.diameter_mm, 1), codes.MILLIMETRE)
    if nodule.volume_mm3 is not None:
        yield Measurement(codes.VOLUME, round(nodule.volume_mm3), codes.CUBIC_MILLIMETRE)


def _figures_and_doubts(nodule: NoduleSummary) -> Iterator[Measurement]:
    numbers = [number for figure in nodule.figures for number in _figure(figure)]
    yield from numbers[:1]
    for consequence, reasons in Counter(doubt.consequence for doubt in nodule.doubts).items():
        yield Measurement(own_concept(shorten(f"{consequence}, reasons", 64)), reasons, codes.COUNT)
    yield from numbers[1:]


def _estimate(estimate: Estimate) -> Measurement:
    """A prediction; its interval stands below it as the distances that TID 310 has."""
    uncertainty = None
    if estimate.low is not None and estimate.high is not None:
        uncertainty = MeasurementProperties(
            upper_measurement_uncertainty=round(estimate.high - estimate.value, 2),
            lower_measurement_uncertainty=round(estimate.value - estimate.low, 2),
        )
    given = None if estimate.code is None else Code(*estimate.code)
    concept = given or RATING_CONCEPTS.get(estimate.name) or own_concept(f"{_words(estimate)}, predicted")
    return Measurement(concept, round(estimate.value, 1), _unit(estimate), properties=uncertainty)


def _interval(estimate: Estimate) -> Iterator[Measurement]:
    """The ends of the interval as numbers of their own, for viewers that show nothing below a number."""
    for end, value in (("from", estimate.low), ("to", estimate.high)):
        if value is not None:
            yield Measurement(own_concept(f"{_words(estimate)}, 90 % interval {end}"), round(value, 1), _unit(estimate))


def _spreads(nodule: NoduleSummary) -> Iterator[Measurement]:
    """How far the models of an ensemble are apart."""
    named = [(_words(one), one.spread, _unit(one)) for one in nodule.estimates]
    named += [(one.name, None if one.spread is None else 100 * one.spread, codes.PERCENT) for one in nodule.figures]
    for name, spread, unit in named:
        if spread is not None:
            words = f"{shorten(name, 62 - len(OVER_MODELS))}, {OVER_MODELS}"
            yield Measurement(own_concept(words), round(spread, 2), unit)


def _figure(figure: NamedValue) -> Iterator[Measurement]:
    """A number and the ends of its interval."""
    unit, factor, digits = (codes.PERCENT, 100, 1) if figure.percent else (codes.RATIO, 1, 2)
    for end, value in (("", figure.value), (", from", figure.low), (", to", figure.high)):
        if value is not None:
            note = f"{end} (1 = yes)" if figure.answer else end
            name = shorten(figure.name, 64 - len(note)) + note
            concept = own_concept(name) if figure.code is None or end else Code(*figure.code)
            yield Measurement(concept, round(value * factor, digits), unit)


def _evaluations(nodule: NoduleSummary) -> Iterator[QualitativeEvaluation]:
    """Every reader's ratings as coded values, reader by reader; a value beyond its scale is left out."""
    for ratings in nodule.ratings:
        for name in RATING_CONCEPTS:
            coded = rating_codes(name, ratings[name]) if name in ratings else None
            if coded is not None:
                yield QualitativeEvaluation(*map(CodedConcept.from_code, coded))


def _words(estimate: Estimate) -> str:
    concept = RATING_CONCEPTS.get(estimate.name)
    return concept.meaning if concept else estimate.name.replace("_", " ").capitalize()


def _unit(estimate: Estimate) -> Code:
    if estimate.ucum:
        return Code(estimate.ucum, "UCUM", estimate.ucum)
    return codes.MILLIMETRE if estimate.name == "diameter" else codes.SCORE
