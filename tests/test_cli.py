import importlib
import inspect
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from ctxai.cli import help_text, main, parse
from ctxai.commands import COMMANDS
from ctxai.commands import manifest as manifest_command


def test_help_names_every_command_and_says_where_nodules_come_from(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)
    assert "no nodule detector" in " ".join(text.split())


def test_help_needs_no_torch():
    code = "import sys; from ctxai.cli import main; main(['--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_every_command_is_explained(name):
    identifier = name.replace("-", "_")
    function = getattr(importlib.import_module(f"ctxai.commands.{identifier}"), identifier)
    text = help_text(name)
    documented = inspect.getdoc(function).partition("Args:")[2]
    for parameter in inspect.signature(function).parameters.values():
        assert f"{parameter.name}:" in documented, f"{parameter.name} of {name} has no line under Args:"
        positional = parameter.kind is parameter.POSITIONAL_ONLY
        ungrouped = "name='*'" in str(parameter.annotation)
        names = [field.name for field in fields(parameter.default)] if ungrouped else [parameter.name]
        for option in names:
            assert (option.upper() if positional else f"--{option.replace('_', '-')}") in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["manifest"],
        ["manifest", "x", "--no-such-flag", "1"],
        ["ingest", "/no/such/folder", "store"],
    ],
)
def test_bad_input_gives_one_line_and_exit_code_2(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_a_folder_is_needed_gives_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["manifest", str(tmp_path / "file" / "out")]) == 2
    assert "cannot be read or written" in capsys.readouterr().err.splitlines()[-1]


def unexpected(tmp_path, **environment):
    """What a fault whose words quote a patient says on the terminal."""
    code = (
        "import sys; from ctxai.lidc import cohort; from ctxai.cli import main\n"
        "cohort.load_rules = lambda name: int('DOE^JANE')\n"
        f"sys.exit(main(['manifest', {str(tmp_path)!r}]))"
    )
    options = {"capture_output": True, "text": True, "env": os.environ | environment}
    done = subprocess.run([sys.executable, "-c", code], **options)
    assert done.returncode == 1
    return done.stderr


def test_an_unexpected_fault_tells_its_kind_and_place_and_quotes_nothing(tmp_path):
    said = unexpected(tmp_path)
    assert said.startswith("unexpected ValueError\n  ctxai.cli, line ")
    assert "\n  ctxai.commands.manifest, line " in said
    assert "DOE" not in said and str(Path(__file__).parents[1]) not in said


def test_an_unexpected_fault_tells_everything_to_who_debugs(tmp_path):
    said = unexpected(tmp_path, CTXAI_LOG="DEBUG")
    assert "Traceback" in said and said.endswith("ValueError: invalid literal for int() with base 10: 'DOE^JANE'\n")


@pytest.mark.parametrize(("level", "told"), [("DEBUG", ["DEBUG ctxai.x"]), ("INFO", []), ("warning", [])])
def test_the_log_at_debug_is_ours_alone(level, told):
    code = (
        "import logging; from ctxai.cli import main; main(['no-such-command'])\n"
        "for name in ('ctxai.x', 'pynetdicom.x'): logging.getLogger(name).debug('')"
    )
    options = {"capture_output": True, "text": True, "env": os.environ | {"CTXAI_LOG": level}}
    said = subprocess.run([sys.executable, "-c", code], **options).stderr
    assert [line.rstrip(": ") for line in said.splitlines()[1:]] == told


def test_a_log_level_that_there_is_not_is_one_line(monkeypatch, capsys):
    monkeypatch.setenv("CTXAI_LOG", "loud")
    assert main(["no-such-command"]) == 2
    assert capsys.readouterr().err == "error: CTXAI_LOG=loud: expected DEBUG, INFO, WARNING or ERROR\n"


def test_yaml_keys_are_the_flags_and_flags_win(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(manifest_command, "manifest", _recorder(manifest_command.manifest, calls))
    config = tmp_path / "m.yaml"
    config.write_text("cohort: from-yaml\n")
    assert main(["manifest", str(tmp_path / "out"), "--config", str(config)]) == 0
    assert main(["manifest", str(tmp_path / "out"), "--config", str(config), "--cohort", "from-flag"]) == 0
    assert [call["cohort"] for call in calls] == ["from-yaml", "from-flag"]


def _recorder(function, calls):
    def manifest(out_dir: Path, /, *, cohort: str = "default") -> None:
        calls.append({"out_dir": out_dir, "cohort": cohort})

    manifest.__doc__ = function.__doc__
    return manifest


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("--optim.epochs 1 --optim.epochs 3", lambda values: values["optim"].epochs == 3),
        ("--workers 1 --workers=2", lambda values: values["execution"].workers == 2),
        ("--backbone.pretrained false --backbone.pretrained true", lambda values: values["backbone"].pretrained),
        ("--views.hu-window 1 2 --views.hu_window 3 4", lambda values: values["views"].hu_window == (3, 4)),
        ("--views.views axial coronal --views.views sagittal", lambda values: values["views"].views == ("sagittal",)),
        ("--views.views axial --views.views [axial,coronal]", lambda values: len(values["views"].views) == 2),
    ],
)
def test_of_an_option_that_is_given_twice_the_last_one_counts(given, expected):
    _, values = parse(["train", "store", "run", *given.split()])
    assert expected(values.arguments)
