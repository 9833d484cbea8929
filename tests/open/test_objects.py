import highdicom as hd
import numpy as np
import pydicom
import pytest

import ctxai
from ctxai.annotations import CTDescription, annotate, open_annotations
from ctxai.ct.series import read_series
from ctxai.ct.volume import CTVolume
from ctxai.errors import InputError
from ctxai.generations import dicom_objects
from ctxai.inference.nodules import candidates_of
from ctxai.open.marks import Mark
from ctxai.open.objects import write_objects
from ctxai.open.outline import nodule_mask
from ctxai.run.run import Run

from sphere import SPHERE

KEY = "0123456789ab"
RADIUS_MM = 7.0
REVIEW = {"verdict": "disagree", "rating": 2, "text": "Mr Nobody", "map_shown": True}


def mark(nodule_id="nodule-001", offset=(0.0, 0.0, 0.0)):
    return Mark(KEY, nodule_id, *(float(round(value, 3)) for value in SPHERE + np.array(offset)))


@pytest.fixture(scope="module")
def written(sphere_ct, tmp_path_factory):
    """The objects of one judged nodule, by the package's run."""
    folder = tmp_path_factory.mktemp("session") / KEY
    files = write_objects(folder, read_series(sphere_ct), [mark()], {"nodule-001": REVIEW}, Run.open(None))
    return folder, files


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_the_mask_of_a_real_nodule_is_that_of_its_readers(lidc_0001):
    series, run = read_series(lidc_0001), Run.open(None)
    readers = candidates_of(series, None)[0]
    patch = ctxai.explain(series, [tuple(readers.centre_lps)], run=run, methods=(), trust=False).nodules[0].patch
    start, mask = nodule_mask(run, patch, series.grid)
    shown, consensus = (np.zeros(series.grid.shape, bool) for _ in range(2))
    drawn = readers.masks.consensus()
    for volume, first, part in ((shown, start, mask), (consensus, readers.masks.start, drawn)):
        volume[tuple(slice(a, a + n) for a, n in zip(first, part.shape, strict=True))] = part
    assert dice(shown, consensus) > 0.8


def test_the_segmentation_is_the_nodule(written, sphere_ct):
    folder, files = written
    assert files == ["dicom/seg/nodules.dcm", "dicom/sr/nodules.dcm"]
    series = read_series(sphere_ct)
    seg = hd.seg.segread(folder / files[0])
    uids = [header.sop_uid for header in series.headers]
    mask = seg.get_pixels_by_source_instance(uids, assert_missing_frames_are_empty=True)[..., 0].astype(bool)
    slices, rows, columns = np.meshgrid(*map(np.arange, series.grid.shape), indexing="ij")
    distance = np.linalg.norm(series.grid.to_lps(np.stack([columns, rows, slices], axis=-1)) - SPHERE, axis=-1)
    assert not mask[distance > RADIUS_MM + 4].any()
    assert mask[distance < RADIUS_MM - 2].all()
    assert dice(mask, distance < RADIUS_MM) > 0.7
    (segment,) = seg.SegmentSequence
    assert (segment.SegmentLabel, segment.SegmentAlgorithmType) == ("nodule-001", "SEMIAUTOMATIC")


def test_the_segmentation_is_a_mark_again(written, sphere_ct):
    folder, files = written
    series = read_series(sphere_ct)
    source = open_annotations(folder / files[0])
    (found,) = annotate(source, [CTDescription.of_slices(series.headers, "")]).nodules
    assert np.abs(found.centre_lps - SPHERE).max() < series.grid.spacing_mm.max()


def test_the_report_has_rating_and_verdict_and_no_free_text(written):
    folder, files = written
    report = hd.sr.srread(folder / files[1])
    (group,) = report.content.get_planar_roi_measurement_groups()
    numbers = {one.name.meaning: one.value for one in group.get_measurements()}
    assert numbers["Reader agrees with the model (1 = yes)"] == 0
    assert numbers["Reader had seen the map (1 = yes)"] == 1
    assert numbers["Volume"] > 0
    rated = {one.name.meaning: one.value.meaning for one in group.get_qualitative_evaluations()}
    assert rated["Malignancy"] == "Moderately unlikely"
    assert b"Nobody" not in (folder / files[1]).read_bytes()
    (study,) = pydicom.dcmread(folder / files[1]).CurrentRequestedProcedureEvidenceSequence
    cited = [
        one.ReferencedSOPInstanceUID for each in study.ReferencedSeriesSequence for one in each.ReferencedSOPSequence
    ]
    assert pydicom.dcmread(folder / files[0]).SOPInstanceUID in cited


def test_they_are_sent_as_results_are(written):
    folder, files = written
    assert dicom_objects(folder.parent) == [folder / name for name in files]


def test_a_later_verdict_replaces_them_and_a_run_without_outlines_draws_no_segment(sphere_ct, run_folder, tmp_path):
    run, series = Run.open(run_folder), read_series(sphere_ct)
    before = write_objects(tmp_path / KEY, series, [mark(), mark("b", (6, 0, 0))], {}, run)
    first = pydicom.dcmread(tmp_path / KEY / before[0]).SOPInstanceUID
    assert before == ["dicom/sr/nodules.dcm"]
    write_objects(tmp_path / KEY, series, [mark()], {"nodule-001": REVIEW}, run)
    assert pydicom.dcmread(tmp_path / KEY / before[0]).SOPInstanceUID != first


def test_what_cannot_be_written_is_one_line_and_leaves_nothing(run_folder, sphere_ct, tmp_path):
    run = Run.open(run_folder)
    volume = CTVolume(read_series(sphere_ct).read(), (0.8, 0.9, 2.0))
    for series, marks, said in ((volume, [mark()], "need the headers"), (read_series(sphere_ct), [], "no marked")):
        with pytest.raises(InputError, match=said):
            write_objects(tmp_path / KEY, series, marks, {}, run)
    assert list(tmp_path.iterdir()) == []
