import json

import nibabel as nib
import numpy as np

from ctxai.ct.series import read_series
from ctxai.explain import CDAM
from ctxai.inference.crops import write_crops
from ctxai.inference.nodule import explain_nodule
from ctxai.inference.nodules import NoduleCandidate
from ctxai.report.crops import find_crops

from folders import record_series
from runs import untrained_run
from sphere import SPHERE


def test_the_crops_hold_the_patch_and_its_maps_where_they_are_in_the_patient(sphere_ct, tmp_path):
    run = untrained_run()
    methods, targets = [CDAM(run.model)], ["malignancy", "spiculation"]
    candidate = NoduleCandidate("sphere", SPHERE, 14.0)
    nodule = explain_nodule(read_series(sphere_ct), candidate, run, methods, targets, run.views.views)
    write_crops(tmp_path, nodule, run, methods, targets)
    record_series(tmp_path)
    row = {"nodule_id": "sphere", "cdam_spiculation_inside": None, "cdam_malignancy_inside": None}
    crops = find_crops(tmp_path, row)
    assert crops.readers is None
    assert [one.target for one in crops.maps] == ["spiculation", "malignancy"]  # the order of the table's columns
    ct = nib.load(crops.ct)
    np.testing.assert_array_equal(np.asarray(ct.dataobj).transpose(2, 1, 0), nodule.patch.hu)
    middle = nib.affines.apply_affine(ct.affine, (np.array(ct.shape) - 1) / 2)
    np.testing.assert_allclose(middle * [-1, -1, 1], SPHERE, atol=1e-3)
    for one in crops.maps:
        image = nib.load(one.path)
        np.testing.assert_array_equal(image.affine, ct.affine)
        values = nodule.maps["cdam", one.target].values
        np.testing.assert_array_equal(np.asarray(image.dataobj).transpose(2, 1, 0), values)
        assert one.signed
        assert one.weights_sha256 == run.weights_sha256
        assert (
            json.loads(one.path.with_name(f"cdam_{one.target}.json").read_text())["notice"]
            == "research use only, not for diagnosis"
        )
