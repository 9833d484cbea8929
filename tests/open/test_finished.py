import contextlib

import numpy as np
import pytest
from starlette.testclient import TestClient

import ctxai
from ctxai.ct.series import read_series
from ctxai.errors import InputError
from ctxai.open.finished import FinishedStudy
from ctxai.open.server import OpenServer
from ctxai.open.session import Session

from sphere import SPHERE


@pytest.fixture(scope="module", params=["nifti", "nifti,ct"])
def explained(request, sphere_ct, run_folder, tmp_path_factory):
    """Results of a CT, and the folder that they were written to, with and without a copy of the CT."""
    folder = tmp_path_factory.mktemp("explained") / "out"
    points = [tuple(SPHERE), tuple(SPHERE + np.array([5.0, 2.0, -4.0]))]
    series = read_series(sphere_ct)
    results = ctxai.explain(series, points, run=run_folder, methods=["cdam", "agcam"], trust=False)
    results.write(folder, formats=request.param)
    return results, folder


@contextlib.contextmanager
def served(folder, session):
    study = FinishedStudy(folder)
    with contextlib.closing(Session(session)) as kept:
        for mark in study.given:
            opened = study.series[mark.series]
            kept.know_series(mark.series, opened.uid, opened.patient)
            kept.put(mark)
        with TestClient(OpenServer(study, kept, study).app) as client:
            yield client


def asked(client, mark, method="cdam", target="malignancy"):
    question = {"series": mark["series"], "nodule_id": mark["nodule_id"], "method": method, "target": target}
    return client.post("/answers", json=question).json(), client.post("/map", json=question)


def test_numbers_and_maps_are_those_that_were_written(explained, tmp_path):
    results, folder = explained
    with served(folder, tmp_path / "session") as client:
        state = client.get("/state").json()
        assert state["run"]["methods"] == ["cdam", "agcam"]
        assert state["run"]["targets"] == ["malignancy"]
        assert len(state["marks"]) == 2
        whole = (next(folder.glob("*/explained.json")).parent / "ct.nii.gz").is_file()
        assert len(state["series"]) == (1 if whole else 2)
        for mark, row, nodule in zip(state["marks"], results.rows, results.nodules, strict=True):
            answer, values = asked(client, mark)
            assert answer["stage"] == "done"
            assert answer["row"]["malignancy"] == pytest.approx(row["malignancy"], rel=1e-12)
            shown = np.frombuffer(values.content, "<f4").reshape(answer["map"]["shape"])
            if whole:
                start = answer["map"]["start"]
                box = tuple(slice(a, a + n) for a, n in zip(start, shown.shape, strict=True))
                expected = results.maps["cdam", "malignancy"][box]
                assert np.abs(shown).max() > 0
                assert (np.abs(shown) <= np.abs(expected) + 1e-6).all()  # of two patches the larger value stands
            else:
                assert np.abs(shown - nodule.maps["cdam", "malignancy"].values).max() < 1e-5 * np.abs(shown).max()


def test_a_slice_is_that_of_the_ct(explained, tmp_path):
    results, folder = explained
    with served(folder, tmp_path / "session") as client:
        state = client.get("/state").json()
        key = state["series"][0]["key"]
        shape = client.get(f"/series/{key}").json()["shape"]
        plane = np.frombuffer(client.get(f"/series/{key}/axial/20").content, "<i2").reshape(shape[1:])
        whole = len(state["series"]) == 1
        expected = results.series.read()[20] if whole else results.nodules[0].patch.hu[20]
        assert (plane == expected).all()


def test_a_verdict_is_kept_and_what_needs_a_model_is_one_line(explained, tmp_path):
    _, folder = explained
    with served(folder, tmp_path / "session") as client:
        mark = client.get("/state").json()["marks"][0]
        key = {"series": mark["series"], "nodule_id": mark["nodule_id"]}
        said = client.post("/verdicts", json={**key, "verdict": "agree"}).json()
        assert said["verdicts"][0]["verdict"] == "agree"
        assert "no map of token_tm" in asked(client, mark, "token_tm")[0]["error"]
        assert "without a model" in client.post("/objects", json={"series": mark["series"]}).json()["error"]
        client.post("/marks/change", json={**key, "x": mark["x"] + 1, "y": mark["y"], "z": mark["z"]})
        assert "another place" in asked(client, mark)[0]["error"]
    with served(folder, tmp_path / "session") as client:
        again = client.get("/state").json()["marks"][0]
        assert again["verdicts"][0]["verdict"] == "agree"


def test_results_without_maps_are_one_line(sphere_ct, run_folder, tmp_path):
    ctxai.explain(read_series(sphere_ct), [tuple(SPHERE)], run=run_folder, methods=[]).write(tmp_path, formats="nifti")
    with pytest.raises(InputError, match="no nodule has a map"):
        FinishedStudy(tmp_path)
