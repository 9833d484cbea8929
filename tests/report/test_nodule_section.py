import json

from PIL import Image

from ctxai.report.crops import find_crops
from ctxai.report.nodule_section import nodule_section

from .result_folders import block, evidence, row, write_crops, write_record


def section(folder, nodule, maps=None):
    write_crops(folder, nodule, maps)
    write_record(folder / nodule["series"])
    return nodule_section(nodule, find_crops(folder / nodule["series"], nodule), "abc-1", None)


def test_every_plane_can_be_reached_and_is_named(tmp_path):
    text = section(tmp_path, row())
    for plane in ("axial", "coronal", "sagittal"):
        assert f'<canvas data-plane="{plane}" tabindex="0" role="slider" aria-label="{plane} slice of' in text
    assert 'data-control="three-d"' in text


def test_methods_and_targets_can_be_chosen_in_the_order_of_the_table(tmp_path):
    nodule = row(smooth_cdam_malignancy_inside=0.5, smooth_cdam_malignancy_inside_by_chance=0.1)
    text = section(
        tmp_path,
        nodule,
        {("smooth_cdam", "malignancy"): evidence(), ("cdam", "malignancy"): evidence(), ("lime", "margin"): evidence()},
    )
    assert text.index('<option value="cdam">') < text.index('<option value="smooth_cdam">smooth cdam<')
    assert "lime" not in text  # of an earlier call: this table does not speak of it
    data = json.loads(text.partition('<script type="application/json">')[2].partition("</script>")[0])
    assert [one["method"] for one in data["maps"]] == ["cdam", "smooth_cdam"]


def test_a_map_that_fails_a_check_is_called_doubtful_beside_the_others(tmp_path):
    nodule = row(agcam_malignancy_inside=0.05, agcam_malignancy_inside_by_chance=0.1)
    text = section(tmp_path, nodule, {(m, "malignancy"): block((30,) * 3, (34,) * 3) for m in ("cdam", "agcam")})
    doubtful, trusted = (
        text.partition('<th scope="row">agcam, malignancy</th>')[2],
        text.partition("cdam, malignancy</th>"),
    )
    name = 'data-name="inside the nodule"'
    why = "5% of its evidence lies inside the nodule, by chance 10% would"
    assert doubtful.startswith(
        f'<td class="verdict doubt" data-name="checks">doubt</td><td class="doubt" {name} title="{why}">5% (10%)</td>'
    )
    assert trusted[2].startswith(f'<td class="verdict" data-name="checks">none failed</td><td {name}>40% (10%)</td>')


def test_how_far_the_networks_of_an_ensemble_are_apart_is_told_and_of_one_network_nothing(tmp_path):
    words = "standard deviation over the models"
    assert f"{words} 0.3" in section(tmp_path / "several", row(malignancy_spread=0.3))
    assert words not in section(tmp_path / "one", row())


def test_how_a_map_was_made_is_told(tmp_path):
    assert "<b>cdam</b>: samples 3; arXiv:0000.00000" in section(tmp_path, row())


def test_a_point_without_readers_has_no_outline_to_switch(tmp_path):
    nodule = row(n_readers=0, readers_malignancy=None, cdam_malignancy_inside=None)
    write_crops(tmp_path, nodule)
    (tmp_path / "abc/nodules" / nodule["nodule_id"] / "readers.nii.gz").unlink()
    write_record(tmp_path / "abc")
    text = nodule_section(nodule, find_crops(tmp_path / "abc", nodule), "abc-1", None)
    assert "readers' outline" not in text
    assert "marked by a point, no readers" in text
    assert "No trust figures" in text


def test_without_images_the_still_is_shown_and_what_to_do_is_said(tmp_path):
    picture = tmp_path / "still.png"
    Image.new("RGB", (8, 8)).save(picture)
    nodule = row()
    write_record(tmp_path / "abc", [nodule])
    assert find_crops(tmp_path / "abc", nodule) is None
    text = nodule_section(nodule, None, "abc-1", picture)
    assert "data:image/png;base64," in text
    assert "without <code>--no-maps</code>" in text
    assert "malignancy" in text
