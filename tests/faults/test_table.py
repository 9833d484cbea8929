from faults.corpus import CASES
from faults.table import BEGIN, END, PAGE, table, trials


def test_the_page_shows_the_faults_of_the_corpus():
    text = PAGE.read_text(encoding="utf-8")
    shown = text.partition(BEGIN)[2].partition(END)[0]
    assert shown.strip() == table().strip(), "run python tests/faults/table.py"
    assert f"{len(CASES)} faults, {trials()} trials" in text
