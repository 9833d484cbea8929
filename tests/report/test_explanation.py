from PIL import Image

from ctxai.report.contact_sheet import write_contact_sheet
from ctxai.report.explanation import write_report


def row(nodule_id="LIDC-IDRI-0001-01", **changes):
    targets = {
        name: value
        for target in ("malignancy", "diameter")
        for name, value in ((target, 3.21), (f"{target}_low", 2.1), (f"{target}_high", 4.3))
    }
    known = {"series": "abc", "nodule_id": nodule_id, "in_sample": False, "diameter_mm": 9.87, "n_readers": 4}
    shares = {"cdam_malignancy_inside": 0.4, "cdam_malignancy_inside_by_chance": 0.1}
    return known | {"readers_malignancy": 4.75} | targets | shares | changes


def picture(folder, nodule_id):
    path = folder / "abc" / "views" / f"{nodule_id}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (492, 326), (10, 20, 30)).save(path)


def test_the_page_shows_prediction_interval_readers_and_picture(tmp_path):
    picture(tmp_path, "LIDC-IDRI-0001-01")
    write_report(tmp_path, [row()], "run")
    page = (tmp_path / "report.html").read_text()
    assert "<td>3.2</td><td>2.1 to 4.3</td><td>4.8</td>" in page
    assert "<td>9.9</td>" in page  # the readers' diameter
    assert "data:image/png;base64," in page
    assert "40.0% of the positive evidence lies inside the nodule (chance 10.0%)" in page
    assert "research use only" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "seen in training" not in page


def test_what_is_not_known_is_a_dash_and_in_sample_nodules_are_marked(tmp_path):
    write_report(tmp_path, [row(readers_malignancy=None, malignancy_high=None, in_sample=True)], "run")
    page = (tmp_path / "report.html").read_text()
    assert "<td>2.1 to –</td><td>–</td>" in page
    assert "seen in training" in page


def test_names_cannot_smuggle_markup_into_the_page(tmp_path):
    write_report(tmp_path, [row("<script>alert(1)</script>")], "<b>run</b>")
    page = (tmp_path / "report.html").read_text()
    assert "<script>" not in page
    assert "<b>run" not in page


def test_the_contact_sheet_holds_every_nodule(tmp_path):
    rows = [row(f"LIDC-IDRI-0001-0{i}") for i in (1, 2, 3)]
    for each in rows:
        picture(tmp_path, each["nodule_id"])
    write_contact_sheet(tmp_path / "sheet.png", tmp_path, rows)
    sheet = Image.open(tmp_path / "sheet.png")
    colours = sheet.convert("RGB").getcolors(1 << 24)
    assert sheet.width > 1000
    shown = sum(
        count for count, colour in colours if max(abs(a - b) for a, b in zip(colour, (10, 20, 30), strict=True)) < 3
    )
    assert shown > 3 * 200 * 150
