"""Page, PDF and structured report say the numbers of predictions.csv, rounded."""

import html
import re
from base64 import a85decode
from zlib import decompress

import highdicom as hd
import pandas as pd
import pydicom
import pytest

from ctxai.cli import main
from ctxai.export.dicom.rating_codes import RATING_CONCEPTS
from ctxai.report.ratings import rated_names

from runs import untrained_run

#: A drawn CT with one nodule, which four readers outlined.
PATIENT = "LIDC-IDRI-0515"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("numbers")
    assert main(["phantom", str(folder / "ct"), "--patients", PATIENT, "--margin-mm", "8"]) == 0
    untrained_run().save(folder / "run")
    arguments = ["explain", str(folder / "ct"), str(folder / "out"), "--run", str(folder / "run"), "--method", "cdam"]
    assert main([*arguments, "--formats", "sr,pdf"]) == 0
    return folder / "out"


@pytest.fixture(scope="module")
def row(results):
    """The one line of predictions.csv."""
    (found,) = pd.read_csv(results / "predictions.csv").to_dict("records")
    assert found["n_readers"] > 1
    return found


def expected(row):
    """Name, prediction, interval and readers' mean of each rating, as people read them."""
    for name in rated_names(row):
        readers = row["diameter_mm"] if name == "diameter" else row[f"readers_{name}"]
        yield name, f"{row[name]:.1f}", f"{row[f'{name}_low']:.1f} to {row[f'{name}_high']:.1f}", f"{readers:.1f}"


def per_cent(share):
    return "under 1 %" if share < 0.005 else "over 99 %" if share > 0.995 else f"{100 * share:.0f} %"


def test_the_page(results, row):
    page = (results / "report.html").read_text()
    table = page.partition('<table class="ratings">')[2].partition("</table>")[0]
    cells = [
        [
            html.unescape(re.sub(r"<[^>]+>", "", cell)).strip()
            for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line, re.S)
        ]
        for line in re.findall(r"<tr><th scope=\"row\">.*?</tr>", table, re.S)
    ]
    assert [(name, predicted, interval, readers) for name, _, predicted, interval, readers in cells] == [*expected(row)]
    head = html.unescape(
        re.sub(r"<[^>]+>", " ", page.partition('<header class="answer">')[2].partition("</header>")[0])
    )
    head = re.sub(r"\s+", " ", head)
    low, high = row["malignancy_low"], row["malignancy_high"]
    assert f"{row['malignancy']:.1f} of 5, 90 % interval {low:.1f} to {high:.1f}" in head
    assert f"rating above 3 {per_cent(row['malignancy_probability'])}" in head
    place = ", ".join(f"{axis} {row[axis]:.1f}".replace("-", "−") for axis in "xyz")
    assert f"{place} mm (LPS)" in head
    assert f"{row['diameter_mm']:.1f} mm measured by readers; predicted {row['diameter']:.1f} mm" in head
    assert f"{row['n_readers']} readers, mean malignancy {row['readers_malignancy']:.1f}" in head
    centre = next(one for one in ct_headers(results) if one.SOPInstanceUID == row["SOPInstanceUID"])
    assert f"image {centre.InstanceNumber} " in head


def test_the_pdf(results, row):
    (path,) = results.glob("*/dicom/pdf/*.dcm")
    dataset = pydicom.dcmread(path)
    found = drawn(dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength])
    for name, *numbers in expected(row):
        at = found.index("diameter, mm" if name == "diameter" else name)
        assert found[at + 1 : at + 4] == numbers, name
    text = " ".join(found)
    assert f"diameter {row['diameter_mm']:.1f} mm, measured by readers" in text
    assert re.search(rf"image {row['InstanceNumber']}\b", text)
    assert f"Probability of a median rating over 3: {per_cent(row['malignancy_probability'])}" in text
    assert f"random maps it beats: {per_cent(row['cdam_malignancy_fidelity_percentile'] / 100)}" in text
    assert f"stability, 1 unmoved: {row['cdam_malignancy_stability']:.2f}" in text.replace("−", "-")
    assert f"evidence inside the nodule: {per_cent(row['cdam_malignancy_inside'])}" in text


def test_the_structured_report(results, row):
    (path,) = results.glob("*/dicom/sr/*.dcm")
    (group,) = hd.sr.srread(path).content.get_planar_roi_measurement_groups()
    numbers = {one.name.meaning: float(one.value) for one in group.get_measurements()}
    for name in rated_names(row):
        words = RATING_CONCEPTS[name].meaning if name in RATING_CONCEPTS else f"{name.capitalize()}, predicted"
        assert numbers.pop(words) == round(row[name], 1), name
        if name != "diameter":
            assert numbers.pop(f"{words}, readers' mean") == round(row[f"readers_{name}"], 1), name
    assert numbers.pop("Malignancy, 90 % interval from") == round(row["malignancy_low"], 1)
    assert numbers.pop("Malignancy, 90 % interval to") == round(row["malignancy_high"], 1)
    probability = numbers.pop("Probability of a median rating over 3")
    assert probability == pytest.approx(100 * row["malignancy_probability"], abs=0.051)
    assert numbers.pop("Diameter") == round(row["diameter_mm"], 1)
    assert numbers.pop("Volume") > 0
    for words, column, factor in (
        ("random maps it beats", "fidelity_percentile", 1),
        ("fidelity, 0 knows nothing", "fidelity", 1),
        ("stability, 1 unmoved", "stability", 1),
        ("depends on the weights (1 = yes)", "sanity", 1),
        ("evidence inside the nodule", "inside", 100),
    ):
        found = numbers.pop(f"cdam malignancy: {words}")
        assert found == pytest.approx(factor * row[f"cdam_malignancy_{column}"], abs=0.051), words
    for end in ("low", "high"):
        found = numbers.pop(f"Probability of a median rating over 3, {'from' if end == 'low' else 'to'}")
        assert found == pytest.approx(100 * row[f"malignancy_probability_{end}"], abs=0.051)
    assert all("reasons" in name for name in numbers), numbers  # nothing else is said


def ct_headers(results):
    """Headers of the CT's images."""
    return [pydicom.dcmread(path, stop_before_pixels=True) for path in (results.parent / "ct").rglob("*.dcm")]


def drawn(pdf: bytes) -> list[str]:
    """Every string of a PDF in the order of drawing, out of its compressed content streams."""
    found = []
    for stream in re.findall(
        rb"/ASCII85Decode /FlateDecode \] /Length \d+\s*>>\s*stream\r?\n(.*?)endstream", pdf, re.S
    ):
        content = decompress(a85decode(stream.strip().removesuffix(b"~>")))
        found += [
            re.sub(rb"\\(.)", rb"\1", text).decode("latin-1") for text in re.findall(rb"\((.*?)(?<!\\)\) Tj", content)
        ]
    return found
