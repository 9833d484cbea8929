from dataclasses import replace

import pydicom

from ctxai.inference.formats.secondary_capture import SecondaryCapture, slices_of

from made_up_readings import KEY, marked, outlined, output_of, overlay_of, scan


def test_the_slices_of_a_nodule_are_those_that_any_reader_drew_or_within_its_radius(tmp_path):
    series = scan(tmp_path / "ct")
    assert slices_of(series, outlined(series)) == [7, 8, 9, 10]
    assert slices_of(series, marked(series)) == [2, 3, 4]  # 3.2 slices of 2 mm, 3 mm around


def test_colour_slices_are_those_of_the_nodules_on_which_the_map_is(tmp_path):
    series = scan(tmp_path / "ct")
    against = outlined(series)
    against = replace(against, maps={KEY: replace(against.maps[KEY], values=-against.maps[KEY].values)})
    both = [against, marked(series)]
    overlay = overlay_of(series, both)
    SecondaryCapture().write_map(output_of(tmp_path, series, both), overlay)
    folder = tmp_path / "dicom" / "sc"
    files = sorted(path.name for path in folder.iterdir())
    assert files == [f"cdam_malignancy_{number:04d}.dcm" for number in (2, 3, 4, 8, 9)]
    warm = pydicom.dcmread(folder / "cdam_malignancy_0003.dcm").pixel_array.astype(int)
    assert warm[21, 20, 0] > warm[21, 20, 2] + 50
    blue = pydicom.dcmread(folder / "cdam_malignancy_0008.dcm").pixel_array.astype(int)
    assert blue[25, 26, 2] > blue[25, 26, 0] + 20
