import numpy as np

from ctxai.lidc.annotations import load_manifest, nodules_by_series, outlines_covered
from ctxai.lidc.database import LidcDatabase


def test_the_manifest_holds_the_used_nodules_with_labels_and_folds():
    rows = load_manifest()
    assert len(rows) == 1378
    assert rows.fold.between(0, 4).all()
    assert rows.malignancy_ratings.map(type).eq(str).all()
    assert rows.nodule_id.is_unique


def test_nodules_are_found_by_series_and_unknown_series_have_none():
    scan = LidcDatabase().scans[0]
    found = nodules_by_series([scan.series_uid, "1.2.3"])
    assert list(found) == [scan.series_uid]


def test_outlines_beyond_the_slices_of_a_series_are_noticed():
    database = LidcDatabase()
    scan = database.scans[0]
    nodule = database.nodules(scan)[0]
    low = min(contour.z_mm for reading in nodule.readings for contour in reading.contours)
    assert outlines_covered(nodule, scan.slice_z_mm)
    assert not outlines_covered(nodule, scan.slice_z_mm[scan.slice_z_mm > low + 1])
    assert not outlines_covered(nodule, np.delete(scan.slice_z_mm, np.abs(scan.slice_z_mm - low).argmin()))
