from __future__ import annotations

import dataclasses
import re
import zlib
from base64 import a85decode

import numpy as np
import pytest
from PIL import Image

from ctxai.export import Doubt, Estimate, NamedValue, NodulePage, NoduleSummary, outline_of_mask, pdf_report


@pytest.fixture
def page() -> NodulePage:
    nodule = NoduleSummary(
        "phantom/1",
        outline_of_mask(np.ones((1, 3, 3), dtype=bool)),
        (
            Estimate("malignancy", 3.21, 2.1, 4.4, 3.8, spread=0.3),
            Estimate("diameter", 9.3, None, None, 9.0, (0.0, float("inf")), spread=0.71),
        ),
        (
            NamedValue("Probability of a median rating over 3", 0.62, percent=True),
            NamedValue("Resected: probability", 0.4, True, low=0.3, high=0.5, spread=0.057),
            NamedValue("cdam: fidelity", 0.314159),
        ),
        ({"malignancy": 4}, {"malignancy": 3}),
        volume_mm3=123.4,
        doubts=(Doubt("Good to know", "The patient was seen in training."),),
    )
    return NodulePage(nodule, "image 57 of 133", Image.fromarray(np.zeros((6, 9, 3), np.uint8)), "What is seen.")


def texts(pdf: bytes) -> list[str]:
    """Every drawn string, page by page, out of the compressed content streams."""
    found = []
    for stream in re.findall(
        rb"/Filter \[ /ASCII85Decode /FlateDecode \] /Length \d+\s*>>\s*stream\r?\n(.*?)endstream", pdf, re.S
    ):
        content = zlib.decompress(
            a85decode(stream.strip(), adobe=False)
            if not stream.strip().endswith(b"~>")
            else a85decode(b"<~" + stream.strip(), adobe=True)
        )
        found += [text.decode("latin-1") for text in re.findall(rb"\((.*?)\) Tj", content)]
    return found


def test_a_page_says_what_was_predicted_what_readers_said_and_why_to_doubt_it(page, provenance):
    found = texts(pdf_report([page], provenance))
    for words in (
        "Research use only, not for diagnosis",
        "phantom/1",
        "Good to know: The patient was seen in training.",
        "3.2",
        "2.1 to 4.4",
        "3.8",
        "4 3",
        "diameter, mm",
        "Probability of a median rating over 3: 62 %",
        "cdam: fidelity: 0.31",
        "Standard deviation over the models: malignancy 0.30, diameter 0.71 mm",
        "What is seen.",
        "What this is not",
    ):
        assert words in found, words
    assert any(provenance.weights_sha256 in text for text in found) or any(
        provenance.weights_sha256[:32] in text for text in found
    )


def test_the_same_content_makes_the_same_bytes(page, provenance):
    assert pdf_report([page], provenance) == pdf_report([page], provenance)


def test_there_is_a_page_per_nodule(page, provenance):
    found = texts(pdf_report([page] * 3, provenance))
    assert [text for text in found if re.fullmatch(r"\d of \d", text)] == ["1 of 3", "2 of 3", "3 of 3"]


def test_more_doubts_and_figures_than_fit_are_counted_or_left_out(page, provenance):
    many = dataclasses.replace(
        page.nodule,
        doubts=tuple(Doubt("Good to know", f"reason {n}") for n in range(9)),
        figures=tuple(NamedValue(f"figure {n}", float(n)) for n in range(200)),
    )
    found = texts(pdf_report([dataclasses.replace(page, nodule=many)], provenance))
    assert "and 4 more reasons for doubt" in found
    assert "Good to know: reason 4" in found
    assert "Good to know: reason 5" not in found
    assert "1 of 1" in found


def test_the_whole_slice_stands_beside_the_planes(page, provenance):
    whole = dataclasses.replace(page, overview=Image.fromarray(np.zeros((8, 8, 3), np.uint8)))
    pictures = [pdf_report([one], provenance).count(b"/Subtype /Image") for one in (page, whole)]
    assert pictures == [1, 2]
