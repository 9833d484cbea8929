import base64
import io
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from ctxai.data.store import NoduleStore
from ctxai.report.ingestion import write_ingestion_report


@pytest.fixture
def store(tmp_path) -> NoduleStore:
    made = NoduleStore.create(tmp_path / "store", 3)
    ball = np.linalg.norm(np.indices((64, 64, 64)) - 32, axis=0)
    for row in range(2):
        agreement = (ball < 8).astype(np.uint8) + (ball < 6)
        made.write(row, np.where(ball < 7, 30, -850).astype(np.int16), agreement, np.ones((64, 64, 64)))
    table = pd.DataFrame(
        {
            "nodule_id": ["a<b", "c", "d"],
            "fault": ["", "", "missing slice"],
            "n_readers": 2,
            "malignancy_ratings": ["4|5", "1|2", "3|3"],
            "malignancy_mean": [4.5, 1.5, 3.0],
            "malignancy_sd": [0.5, 0.5, 0.0],
        }
    )
    made.write_table(table)
    return made


REPORT = pd.DataFrame(
    [("P-1", "1.2", "", "missing slice", "1 gap", "repaired"), ("P-2", "1.3", "d", "<odd>", "x", "refused")],
    columns=["patient_id", "series_uid", "nodule_id", "name", "detail", "action"],
)


def test_the_page_tells_the_flow_and_every_finding_by_name(store, tmp_path):
    write_ingestion_report(tmp_path / "r.html", store, REPORT, [("scans", 1018), ("usable nodules", 2)])
    page = (tmp_path / "r.html").read_text()
    assert "<b>1018</b> scans" in page and "<b>2</b> usable nodules" in page
    assert "<td>missing slice</td><td>repaired</td>" in page
    assert "&lt;odd&gt;" in page and "<odd>" not in page
    pictures = [Image.open(io.BytesIO(base64.b64decode(text))) for text in re.findall(r"base64,([^\"]+)", page)]
    assert len(pictures) == 3
    assert all(np.ptp(np.asarray(picture.convert("L"))) > 100 for picture in pictures)


def test_the_same_store_gives_the_same_page(store, tmp_path):
    for name in ("a.html", "b.html"):
        write_ingestion_report(tmp_path / name, store, REPORT, [])
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_a_store_without_a_usable_nodule_still_has_a_page(store, tmp_path):
    table = store.table
    table["fault"] = "missing slice"
    store.write_table(table)
    write_ingestion_report(tmp_path / "r.html", store, REPORT[:0], [])
    assert ">none<" in (tmp_path / "r.html").read_text()
