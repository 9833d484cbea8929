import shutil

import pandas as pd
import pytest

from ctxai.cli import main
from ctxai.open.marks import Mark, Verdict
from ctxai.open.session import Session


@pytest.fixture
def folder(tmp_path):
    session = Session(tmp_path / "session", "a reader")
    for number, (verdict, shown) in enumerate((("agree", False), ("agree", True), ("map misleading", True))):
        series = f"{number:064x}"
        session.know_series(series, f"1.2.{number}", lambda number=number: f"patient-{number}")
        session.put(Mark(series, "nodule-001", 1.0, 2.0, 3.0))
        session.answer((series, "nodule-001"), {"malignancy": 4.0})
        session.judge(Verdict(series, "nodule-001", verdict, rating=3, map_shown=shown))
    session.close()
    return tmp_path / "session"


def test_the_figures_of_sessions_are_printed_and_written(folder, tmp_path, capsys):
    assert main(["review-stats", str(folder), "--out", str(tmp_path / "figures.csv")]) == 0
    figures = pd.read_csv(tmp_path / "figures.csv", index_col="figure")
    assert figures.loc["agreement, with map", ["n", "patients", "value"]].tolist() == [2, 2, 0.5]
    assert figures.loc["difference of ratings, without map", "value"] == 1
    assert "maps called misleading" in capsys.readouterr().out


def test_figures_replace_figures_and_no_other_file(folder, tmp_path, capsys):
    command = ["review-stats", str(folder), "--out", str(tmp_path / "figures.csv")]
    assert main(command) == main(command) == 0
    (tmp_path / "figures.csv").write_text("thesis")
    assert main(command) == 2
    assert "figures.csv: is there and holds something else" in capsys.readouterr().err
    assert (tmp_path / "figures.csv").read_text() == "thesis"


def test_what_is_no_session_is_named(folder, tmp_path, capsys):
    assert main(["review-stats", str(tmp_path)]) == 2
    assert "no review.csv; give a folder of `ctxai open --out`" in capsys.readouterr().err
    (folder / "review.csv").write_text("reader,verdict\na,agree\n")
    assert main(["review-stats", str(folder)]) == 2
    assert "not a review.csv" in capsys.readouterr().err
    assert main(["review-stats"]) == 2
    assert "SESSION missing" in capsys.readouterr().err


def test_sessions_of_several_readers_are_counted_together(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "other")
    text = (folder / "review.csv").read_text()
    (tmp_path / "other" / "review.csv").write_text(text.replace("a reader", "another"))
    out = tmp_path / "figures.csv"
    assert main(["review-stats", str(folder), "--others", str(tmp_path / "other"), "--out", str(out)]) == 0
    figures = pd.read_csv(out, index_col="figure")
    assert figures.loc["agreement, with map", ["n", "patients", "value"]].tolist() == [4, 2, 0.5]
