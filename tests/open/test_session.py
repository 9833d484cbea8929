import csv
import json

import pytest

from ctxai.annotations import read_points
from ctxai.errors import InputError
from ctxai.open.marks import Mark, Verdict
from ctxai.open.session import JOURNAL, POINTS, REVIEW, Session

from folders import contents

KEY = "0123456789ab"
ROW = {"malignancy": 3.25, "malignancy_low": 2.5, "malignancy_high": 4.0, "malignancy_probability": 0.7}
ROW |= {"novelty_percentile": 12.5, "run": "a run", "weights_sha256": "f" * 64}


def mark(number=1, **changes):
    return Mark(**({"series": KEY, "nodule_id": f"nodule-{number:03d}", "x": 1.5, "y": -2.25, "z": 100.0} | changes))


@pytest.fixture
def session(tmp_path):
    opened = Session(tmp_path / "session", "reader A")
    opened.know_series(KEY, "1.2.3", lambda: "patient-1")
    yield opened
    opened.close()


def reopened(folder):
    session = Session(folder)
    session.close()
    return session


def reviews(session):
    with (session.folder / REVIEW).open() as file:
        return list(csv.DictReader(file))


def test_points_and_markups_are_read_as_the_same_marks(session):
    session.put(mark(1))
    session.put(mark(2, x=-7.125, state="accepted"))
    session.put(mark(3, state="rejected"))
    session.put(mark(4, state="proposed", score=0.5))
    points = read_points(session.folder / POINTS)
    slicer = read_points(session.folder / f"{KEY}.mrk.json")
    for found in (points, slicer):
        assert [one.nodule_id for one in found] == ["nodule-001", "nodule-002"]
        assert [one.centre_lps.tolist() for one in found] == [[1.5, -2.25, 100.0], [-7.125, -2.25, 100.0]]
    assert {one.series_uid for one in points} == {"1.2.3"}


def test_a_killed_session_loses_nothing_and_a_line_cut_short_is_left_out(session):
    session.put(mark(1))
    session.answer((KEY, "nodule-001"), ROW)
    session.judge(Verdict(KEY, "nodule-001", "agree", 4, "round", True, "cdam", "malignancy"))
    journal = session.folder / JOURNAL
    with journal.open("ab") as file:  # killed in the middle of a line
        file.write(b'{"mark": {"series": "0123')
    (session.folder / POINTS).unlink()
    again = Session(session.folder)
    assert again.marks == session.marks
    assert again.answers == session.answers
    assert again.reviews == session.reviews
    assert (session.folder / POINTS).is_file()
    again.put(mark(2))
    again.close()
    assert all(json.loads(line) for line in journal.read_text().splitlines())
    assert len(reopened(session.folder).marks) == 2


def test_each_event_is_on_the_disk_before_it_counts(session, monkeypatch):
    synced = []
    monkeypatch.setattr("os.fsync", lambda number: synced.append(number))
    before = len((session.folder / JOURNAL).read_bytes())
    session.put(mark())
    assert session._file.fileno() in synced
    assert len((session.folder / JOURNAL).read_bytes()) > before


def test_a_verdict_keeps_the_position_prediction_and_weights_it_is_about(session):
    session.put(mark())
    session.answer((KEY, "nodule-001"), ROW)
    session.judge(Verdict(KEY, "nodule-001", "disagree", 2, 'a "vessel",\nnot a nodule'))
    (row,) = reviews(session)
    assert row["reader"] == "reader A"
    assert (row["patient"], row["series_uid"], row["nodule_id"]) == ("patient-1", "1.2.3", "nodule-001")
    assert (row["x"], row["y"], row["z"]) == ("1.5", "-2.25", "100.0")
    assert (row["verdict"], row["rating"], row["text"]) == ("disagree", "2", 'a "vessel",\nnot a nodule')
    assert row["map_shown"] == "False"
    assert (row["malignancy"], row["weights_sha256"]) == ("3.25", "f" * 64)
    assert row["time"].startswith("20")


def test_columns_of_targets_come_with_the_first_verdict_that_has_them_and_after_a_kill(session):
    session.put(mark())
    session.answer((KEY, "nodule-001"), {"texture": 4.5})
    session.judge(Verdict(KEY, "nodule-001", "agree"))
    before = list(reviews(session)[0])
    session.judge(
        Verdict(KEY, "nodule-001", values={"texture": 5, "sort": "=1"}),
        lambda answer: {"reader_texture": 5, "reader_sort": "=1", "model_texture": answer["texture"]},
    )
    first, second = reviews(session)
    assert list(second) == [*before, "reader_texture", "reader_sort", "model_texture"]
    assert [second[name] for name in ("reader_texture", "reader_sort", "model_texture")] == ["5", "'=1", "4.5"]
    assert first["reader_texture"] == ""
    assert reopened(session.folder).reviews == session.reviews


@pytest.mark.parametrize("text", ["=1+1", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1"])
def test_no_text_is_a_formula_in_a_spreadsheet(text, tmp_path):
    session = Session(tmp_path / "session", reader=text)
    session.know_series(KEY, "1.2.3", lambda: "patient-1")
    session.put(mark(x=-1.5))
    session.judge(Verdict(KEY, "nodule-001", "agree", text=text))
    session.close()
    (row,) = reviews(session)
    assert row["text"] == row["reader"] == "'" + text.replace("\r", "\n")
    assert row["x"] == "-1.5"
    assert reopened(session.folder).reviews[0]["text"] == text


def test_a_moved_mark_forgets_its_answer_and_an_accepted_one_keeps_it(session):
    session.put(mark(state="proposed"))
    session.answer((KEY, "nodule-001"), ROW)
    session.put(mark(state="accepted"))
    assert session.answers[KEY, "nodule-001"] == ROW
    session.put(mark(state="accepted", x=2.0))
    assert (KEY, "nodule-001") not in session.answers


def test_no_name_is_given_twice(session):
    session.put(mark(1))
    assert session.new_id(KEY) == "nodule-002"
    session.put(mark(2))
    session.remove((KEY, "nodule-002"))
    assert session.new_id(KEY) == "nodule-003"
    assert reopened(session.folder).new_id(KEY) == "nodule-003"
    assert session.new_id("ffffffffffff") == "nodule-001"


@pytest.mark.parametrize("text", ["", "hello\n", '{"journal": "other"}\n', '{"journal": "ctxai open", "version": 9}\n'])
def test_a_journal_of_something_else_is_refused(text, tmp_path):
    (tmp_path / JOURNAL).write_text(text)
    if not text:
        assert reopened(tmp_path).marks == {}
        return
    with pytest.raises(InputError, match="line 1: not a journal of `ctxai open`"):
        Session(tmp_path)
    assert (tmp_path / JOURNAL).read_text() == text


@pytest.mark.parametrize("name", [POINTS, REVIEW])
def test_tables_of_somebody_else_are_not_replaced(tmp_path, name):
    (tmp_path / name).write_text("x,y,z\n1,2,3\n")
    with pytest.raises(InputError, match="was not written by ctxai"):
        Session(tmp_path)
    assert contents(tmp_path) == {name: b"x,y,z\n1,2,3\n"}


@pytest.mark.parametrize("name", [POINTS, REVIEW, f"{KEY}.mrk.json"])
def test_a_table_that_somebody_has_edited_is_named_and_stays(session, name):
    session.put(mark())
    session.close()
    (session.folder / "mine.mrk.json").write_text("{}")
    (session.folder / "written.json").unlink()  # a session of an earlier version
    reopened(session.folder)
    with (session.folder / name).open("a") as file:
        file.write("edited\n")
    before = contents(session.folder)
    with pytest.raises(InputError, match=f"{name}: was not written by ctxai, or was changed since"):
        Session(session.folder)
    assert contents(session.folder) == before


@pytest.mark.parametrize(
    "changes",
    [{"x": float("nan")}, {"y": "1"}, {"z": True}, {"state": "maybe"}, {"nodule_id": "../a"}, {"series": "/"}],
)
def test_a_mark_of_nothing_is_refused(changes):
    with pytest.raises(InputError, match="mark: expected"):
        mark(**changes)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"verdict": "maybe"},
        {"rating": 6},
        {"rating": True},
        {"text": "x" * 2001},
        {"verdict": "map misleading"},
        {"verdict": "agree", "map_shown": 1},
        {"verdict": "agree", "other": 1},
        {"values": {"texture": float("nan")}},
        {"values": {"texture": True}},
        {"values": {"sort": "x" * 2001}},
        {"values": ["texture"]},
    ],
)
def test_a_verdict_that_says_nothing_is_refused(fields):
    with pytest.raises(InputError, match="verdict: "):
        Verdict.from_json({"series": KEY, "nodule_id": "nodule-001", **fields})
