from dataclasses import replace

import numpy as np
import pydicom

from ctxai.inference.formats.segmentation import write_bands

from made_up_readings import KEY, marked, outlined, output_of, overlay_of, scan


def test_bands_are_scaled_in_each_nodule_by_itself_and_the_scales_are_told(tmp_path):
    series = scan(tmp_path / "ct")
    strong, weak = outlined(series), marked(series)
    quiet = replace(weak.maps[KEY], values=weak.maps[KEY].values * np.float32(0.1))
    weak = replace(weak, maps={KEY: quiet})
    overlay = overlay_of(series, [strong, weak])
    alone = np.array([np.abs(overlay_of(series, [one]).values) > 0 for one in (strong, weak)])
    write_bands(output_of(tmp_path / "out", series, [strong, weak]), overlay)
    (path,) = (tmp_path / "out").glob("dicom/seg/*_bands.dcm")
    dataset = pydicom.dcmread(path)
    highest = dataset.SegmentSequence[2]
    assert highest.SegmentLabel == "malignancy: evidence for, 75 % of scale and more"
    assert highest.SegmentDescription == "Scale of each nodule: 99 % of the map is at most n-1: 0.5; point: 0.05"
    assert all((np.abs(overlay.shares.array[only]).max() == 1) for only in (alone[0] & ~alone[1], alone[1] & ~alone[0]))
