import pytest

from ctxai.cli import STAGES, main, stage_parser
from ctxai.help import EXAMPLES, HEADINGS


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_has_an_example_that_it_takes_and_that_fits_a_line(name, narrow):
    stage_parser(name).parse_args(
        [word for word in EXAMPLES[name].split()[2:] if not word.endswith(".yaml")][: _end(name)]
    )
    assert f"\nExample: {EXAMPLES[name]}\n" in stage_parser(name).format_help()


def _end(name):
    """Examples that name a bundled config end with it."""
    words = EXAMPLES[name].split()[2:]
    return words.index("--config") if "--config" in words else None


@pytest.mark.parametrize("name", STAGES)
def test_help_speaks_of_no_types_of_python(name, narrow):
    text = stage_parser(name).format_help()
    for jargon in ("<class", "null", "type:", "``", "typing", "keywords separated", "\b"):
        assert jargon not in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_default_is_shown_as_it_would_be_given(narrow):
    text = " ".join(stage_parser("explain").format_help().split())
    assert "(default: cdam)" in text
    assert "--maps, --no-maps explain; --no-maps only predicts. (default: yes)" in text
    assert "two views or more. --trust" in text  # nothing is said of a flag that is off
    assert "(default: [axial,coronal,sagittal])" in " ".join(stage_parser("train").format_help().split())


@pytest.mark.parametrize("word", ["help", "--help", "-h"])
def test_stages_stand_under_headings_and_help_says_where_to_begin(word, capsys, narrow):
    assert main([word]) == 0
    text = capsys.readouterr().out
    assert set(HEADINGS) <= set(STAGES)
    assert all(f"\n{heading}\n" in text for heading in HEADINGS.values())
    assert f"\n  {EXAMPLES['phantom']}\n" in text
