from PIL import Image

from ctxai.report.contact_sheet import write_contact_sheet

from .result_folders import row


def test_the_contact_sheet_holds_every_nodule(tmp_path):
    rows = [row(f"LIDC-IDRI-0001-0{i}") for i in (1, 2, 3)]
    (tmp_path / "abc" / "views").mkdir(parents=True)
    for each in rows:
        Image.new("RGB", (492, 326), (10, 20, 30)).save(tmp_path / "abc" / "views" / f"{each['nodule_id']}.png")
    write_contact_sheet(tmp_path / "sheet.png", tmp_path, rows)
    sheet = Image.open(tmp_path / "sheet.png")
    colours = sheet.convert("RGB").getcolors(1 << 24)
    assert sheet.width > 1000
    shown = sum(
        count for count, colour in colours if max(abs(a - b) for a, b in zip(colour, (10, 20, 30), strict=True)) < 3
    )
    assert shown > 3 * 200 * 150
