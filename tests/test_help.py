import shlex

import pytest

from ctxai.cli import help_text, main, parse
from ctxai.commands import COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_that_it_takes_and_that_fits_a_line(name):
    example = COMMANDS[name].example
    function, _ = parse(shlex.split(example)[1:])
    assert function.__name__ == name.replace("-", "_")
    assert f"\nExample: {example}\n" in help_text(name)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_speaks_of_no_types_of_python_and_fits_80_columns(name):
    text = help_text(name)
    for jargon in ("<class", "null", "``", "typing", "Optional", "PosixPath", "[default: None]", "[default: ['"):
        assert jargon not in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_default_is_shown_as_it_would_be_given():
    text = " ".join(help_text("explain", width=200).split())
    assert "[default: lung_mean]" in " ".join(help_text("benchmark", width=200).split())
    assert "explain; --no-maps only predicts. [default: yes]" in text
    assert "two views or more. │ │ --trust" in text  # nothing is said of a flag that is off
    assert "[default: axial coronal sagittal]" in " ".join(help_text("train", width=200).split())


def test_a_default_that_differs_from_its_class_is_the_one_shown_and_used():
    assert "linearly from 0. [default: 0.0]" in " ".join(help_text("pretrain", width=200).split())
    _, values = parse(["pretrain", "store", "run", "--backbone.depth", "2"])
    assert (values.kwargs["backbone"].depth, values.kwargs["backbone"].drop_path_rate) == (2, 0.0)


@pytest.mark.parametrize("name", ["explain", "ingest", "benchmark"])
def test_options_of_a_cluster_stand_in_a_group_of_their_own(name):
    ordinary, cluster = help_text(name).split("─ Cluster ─")
    assert "--shard" in cluster and "--shard STR" not in ordinary


@pytest.mark.parametrize("word", ["help", "--help", "-h"])
def test_commands_stand_under_headings_and_help_says_where_to_begin(word, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([word]) == 0
    text = capsys.readouterr().out
    assert all(f"─ {command.heading} ─" in text for command in COMMANDS.values())
    assert f" {COMMANDS['phantom'].example} " in text
