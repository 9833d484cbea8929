import time

import numpy as np
import pandas as pd
import pytest
from starlette.testclient import TestClient

import ctxai
from ctxai.cli import main
from ctxai.ct.series import read_series
from ctxai.open.answers import Answers
from ctxai.open.server import OpenServer
from ctxai.open.session import Session
from ctxai.open.study import Study

from sphere import SPHERE

PATIENCE_S = 120


@pytest.fixture(scope="module")
def served(sphere_ct, run_folder, tmp_path_factory):
    """A server on the CT of the sphere, as the browser sees it behind the guard."""
    session = Session(tmp_path_factory.mktemp("open") / "session")
    answers = Answers(run_folder, lambda mark, row: session.answer(mark.key, row), "cpu")
    answers.start()
    server = OpenServer(Study(sphere_ct), session, answers)
    with TestClient(server.app) as client:
        yield server, client
    answers.end()
    session.close()


def marked(client, lps=SPHERE):
    (series,) = client.get("/state").json()["series"]
    x, y, z = map(float, lps)
    return client.post("/marks", json={"series": series["key"], "x": x, "y": y, "z": z}).json()


def answered(client, mark, method="cdam", target="malignancy"):
    question = {"series": mark["series"], "nodule_id": mark["nodule_id"], "method": method, "target": target}
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := client.post("/answers", json=question).json()).get("ended"):
        assert "error" not in answer or not answer["error"], answer
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return answer, client.post("/map", json=question)


def test_planes_are_the_voxels_of_the_ct(served, sphere_ct):
    _, client = served
    (series,) = client.get("/state").json()["series"]
    described = client.get(f"/series/{series['key']}").json()
    hu = read_series(sphere_ct).read()
    assert described["shape"] == list(hu.shape)
    plane = np.frombuffer(client.get(f"/series/{series['key']}/axial/17").content, "<i2")
    assert (plane.reshape(hu.shape[1:]) == hu[17]).all()
    assert client.get(f"/series/{series['key']}/axial/40").status_code == 404
    assert client.get(f"/series/{series['key']}/oblique/0").status_code == 404


def test_an_answer_has_the_numbers_and_the_map_of_explain(served, sphere_ct, run_folder, tmp_path):
    server, client = served
    mark = marked(client, SPHERE + np.array([1.25, -0.5, 0.75]))
    answer, values = answered(client, mark)
    assert (answer["stage"], answer["error"]) == ("done", "")
    arguments = [
        "explain",
        sphere_ct,
        tmp_path / "out",
        "--run",
        run_folder,
        "--points",
        server.session.folder / "points.csv",
    ]
    assert main([*map(str, arguments), "--method", "cdam", "--formats", "nifti", "--no-trust"]) == 0
    table = pd.read_csv(tmp_path / "out" / "predictions.csv").set_index("nodule_id")
    expected = table.loc[mark["nodule_id"]]
    for name in (
        "malignancy",
        "malignancy_low",
        "malignancy_high",
        "malignancy_probability",
        "diameter",
        "x",
        "y",
        "z",
    ):
        assert answer["row"][name] == pytest.approx(expected[name], rel=1e-12)
    place = [mark[axis] for axis in "xyz"]
    volume = ctxai.explain(read_series(sphere_ct), [place], run=run_folder, trust=False).maps["cdam", "malignancy"]
    start, shape = answer["map"]["start"], answer["map"]["shape"]
    shown = np.frombuffer(values.content, "<f4").reshape(shape)
    box = tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))
    assert (volume[box] == shown).all()
    assert np.count_nonzero(volume) == np.count_nonzero(shown) > 0
    client.post("/marks/remove", json=mark)


def test_a_click_5_mm_beside_a_nodule_is_told_with_the_middle_that_the_model_sees(sphere_ct, tmp_path):
    session = Session(tmp_path / "session")
    answers = Answers(None, lambda mark, row: session.answer(mark.key, row), "cpu")
    with TestClient(OpenServer(Study(sphere_ct), session, answers).app) as client:
        beside = SPHERE + np.array([3.0, -4.0, 0.0])
        answer, _ = answered(client, marked(client, beside))
        answers.end()
    row = answer["row"]
    assert [row[axis] for axis in "xyz"] == pytest.approx(beside)
    assert [row[f"middle_{axis}"] for axis in "xyz"] == answer["middle"]
    assert np.linalg.norm(np.array(answer["middle"]) - SPHERE) < 2
    arguments = ["explain", sphere_ct, tmp_path / "out", "--points", session.folder / "points.csv", "--no-trust"]
    assert main([*map(str, arguments), "--no-maps"]) == 0
    (told,) = pd.read_csv(tmp_path / "out" / "predictions.csv").to_dict("records")
    assert [told[axis] for axis in "xyz"] == pytest.approx(beside)
    assert [told[f"middle_{axis}"] for axis in "xyz"] == pytest.approx(answer["middle"])
    assert "; explained about " in (tmp_path / "out" / "report.html").read_text()
    session.close()


def test_a_moved_mark_is_answered_anew_and_targets_are_contrasted(served):
    _, client = served
    mark = marked(client)
    before, _ = answered(client, mark)
    key = {"series": mark["series"], "nodule_id": mark["nodule_id"]}
    moved = client.post("/marks/change", json={**key, "x": mark["x"] + 6, "y": mark["y"], "z": mark["z"]}).json()
    assert moved["row"] == {}
    after, _ = answered(client, mark)
    assert after["row"]["x"] == pytest.approx(before["row"]["x"] + 6)
    assert after["row"]["malignancy_logit"] != before["row"]["malignancy_logit"]
    contrast, values = answered(client, mark, target="spiculation-lobulation")
    assert contrast["stage"] == "done"
    assert np.frombuffer(values.content, "<f4").any()
    client.post("/marks/remove", json=key)


def test_a_new_question_interrupts_a_slow_method_and_changes_no_answer(served):
    _, client = served
    mark = marked(client)
    for method in ("cdam", "integrated_gradients"):
        answered(client, mark, method)
    before = answered(client, mark)[1].content
    key = {"series": mark["series"], "nodule_id": mark["nodule_id"]}
    slow = {**key, "method": "kernel_shap:n_samples=10000000", "target": "malignancy"}
    deadline = time.monotonic() + PATIENCE_S
    while client.post("/answers", json=slow).json()["stage"] != "map":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    client.post("/marks/remove", json=mark)
    again = marked(client)
    answer, values = answered(client, again)
    assert answer["stage"] == "done"
    assert values.content == before
    client.post("/marks/remove", json=again)


def test_marks_are_accepted_rejected_judged_and_removed(served):
    _, client = served
    mark = marked(client)
    key = {"series": mark["series"], "nodule_id": mark["nodule_id"]}
    for state in ("accepted", "rejected"):
        assert client.post("/marks/change", json={**key, "state": state}).json()["state"] == state
    said = client.post("/verdicts", json={**key, "verdict": "agree", "rating": 3, "text": "<b>"}).json()
    assert said["verdicts"] == [{"verdict": "agree", "rating": 3, "text": "<b>", "map_shown": False, "values": {}}]
    answered(client, mark)  # with the model, which knows the targets
    assert [one["name"] for one in client.get("/state").json()["fields"]][:2] == ["subtlety", "calcification"]
    said = client.post("/verdicts", json={**key, "values": {"texture": 4}}).json()
    assert said["verdicts"][-1]["values"] == {"texture": 4}
    refused = client.post("/verdicts", json={**key, "values": {"texture": 7}}).json()
    assert refused["error"] == "verdict: expected texture as a number from 1 to 5"
    assert client.post("/marks/remove", json=key).json() == {}
    assert client.post("/answers", json=key).json() == {"error": "there is no such mark"}


def test_marks_and_verdicts_become_dicom_objects(served):
    server, client = served
    mark = marked(client)
    key = {"series": mark["series"], "nodule_id": mark["nodule_id"]}
    client.post("/verdicts", json={**key, "verdict": "agree", "rating": 4})
    told = client.post("/objects", json={"series": mark["series"]}).json()
    assert told["files"] == ["dicom/sr/nodules.dcm"]  # an untrained run draws no outline
    assert told["folder"] == str(server.session.folder / mark["series"])
    client.post("/marks/change", json={**key, "state": "rejected"})
    assert "no marked or accepted nodule" in client.post("/objects", json={"series": mark["series"]}).json()["error"]
    client.post("/marks/remove", json=key)


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        ("/marks", {}, "there is no such series"),
        ("/marks/change", {"series": "x"}, "there is no such mark"),
        ("/verdicts", {"verdict": 3}, "verdict: expected the fields of a verdict"),
        ("/marks", [], "expected a JSON object"),
    ],
)
def test_bad_input_is_one_line(path, content, said, served):
    answer = served[1].post(path, json=content)
    assert answer.status_code == 422
    assert answer.json()["error"] == said


def test_a_mark_outside_of_the_ct_or_nowhere_is_refused(served):
    server, client = served
    assert marked(client, (9999, 0, 0))["error"] == "the mark lies outside of the CT"
    series = next(iter(server.study.series))
    wrong = {"series": series, "x": "1", "y": None, "z": 3}
    assert "three finite numbers" in client.post("/marks", json=wrong).json()["error"]


def test_only_json_is_taken(served):
    assert served[1].post("/marks", data={"series": "x"}).status_code == 415
    assert served[1].post("/marks", content=b"{", headers={"Content-Type": "application/json"}).status_code == 422
    deep = b"[" * 50000
    assert served[1].post("/marks", content=deep, headers={"Content-Type": "application/json"}).status_code == 422


def test_an_unknown_method_or_target_is_one_line(served):
    _, client = served
    mark = marked(client)
    for method, target in (("nonsense", "malignancy"), ("cdam", "nonsense")):
        question = {"series": mark["series"], "nodule_id": mark["nodule_id"], "method": method, "target": target}
        while not (answer := client.post("/answers", json=question).json())["ended"]:
            time.sleep(0.02)
        assert answer["stage"] == "failed"
        assert "nonsense" in answer["error"]
    client.post("/marks/remove", json=mark)


def test_a_run_that_is_none_is_told_on_the_page(sphere_ct, tmp_path):
    session = Session(tmp_path / "session")
    answers = Answers(tmp_path / "absent")
    answers.start()
    answers._thread.join(PATIENCE_S)
    with TestClient(OpenServer(Study(sphere_ct), session, answers).app) as client:
        assert str(tmp_path / "absent") in client.get("/state").json()["fault"]
        assert str(tmp_path / "absent") in client.post("/answers", json=marked(client)).json()["error"]
    session.close()
