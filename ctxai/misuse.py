"""What is said of a command line that does not fit its stage: one line, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser

from ctxai.errors import InputError, one_line
from ctxai.help import EXAMPLES
from ctxai.suggestions import did_you_mean

#: Least and most that options of these names take in every stage.
_LIMITS = {"seed": (0, 2**63 - 1), "workers": (0, 4096), "port": (0, 65535), "move_port": (1, 65535)}
_TYPES = {
    "<class 'int'>": "a whole number",
    "<class 'float'>": "a number",
    "<class 'bool'>": "true or false",
    "<class 'tuple'>": "a list such as [a,b]",
    "<class 'str'>": "a text",
}
_WRONG_VALUE = re.compile(r'Parser key "(?P<key>[^"]+)": Expected a (?P<type>.+?)\. Got value: (?P<value>.*)')
_UNKNOWN_KEY = re.compile(r"(?:Group '(?P<group>[\w.]+)' does not accept o|O)ption '(?P<key>[\w.]+)'")


def say_what_is_wrong(error: Exception, parser: ArgumentParser, stage: str) -> InputError:
    """An error of the parser, in words of the command line."""
    text = one_line(error)
    known = _keys(parser)
    if text.startswith("unrecognized arguments: "):
        return InputError(f"{_left_over(text.split(': ', 1)[1].split(), known)}; see `ctxai {stage} --help`")
    if text.startswith("the following arguments are required: "):
        missing = text.split(": ", 1)[1].upper().replace(", ", " and ")
        return InputError(f"{missing} missing; for example `{EXAMPLES[stage]}`")
    if found := _WRONG_VALUE.search(text):
        choices = re.findall(r"'([^']+)'", found["type"]) if "Literal" in found["type"] else []
        expected = f"one of {', '.join(choices)}" if choices else _TYPES.get(found["type"], found["type"])
        return InputError(
            f"--{found['key']} {found['value']}: expected {expected}{did_you_mean(found['value'], choices)}"
        )
    if found := re.search(r'Parser key "([\w.]+)": Unable to load config \'([^\']*)\'', text):
        return InputError(f"--{found[1]} {found[2]}: expected a YAML file with the options of this group")
    if found := _UNKNOWN_KEY.search(text):
        key = ".".join(filter(None, (found["group"], found["key"])))
        return InputError(f"{key}: no such option{did_you_mean(key, known)}; see `ctxai {stage} --help`")
    if flag := re.search(r"argument (--[\w.-]+)\S*: expected (?:at least )?one argument", text):
        return InputError(f"{flag[1]}: expected a value after it; one that begins with - is taken for an option")
    if flag := re.search(r"argument --(\w+)/--no-\w+: ignored explicit argument", text):
        return InputError(f"--{flag[1]}: takes no value; expected --{flag[1]} or --no-{flag[1]}")
    return InputError(f"{text}; see `ctxai {stage} --help`")


def check_config(path: Path, parser: ArgumentParser, stage: str) -> None:
    """Refuse a YAML file that is damaged, or meant for another stage.

    Raises:
        InputError: naming the file, and the line or the key.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError:
        return  # the parser says so
    except UnicodeDecodeError as error:
        raise InputError(f"--config {path}: expected a YAML file in UTF-8 ({error})") from None
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"--config {path}{where}: expected a YAML file ({problem or one_line(error)})") from None
    if content is None:
        return
    if not isinstance(content, Mapping):
        raise InputError(f"--config {path}: expected lines of the form `option: value`, found {one_line(content)}")
    known = {key.split(".")[0] for key in _keys(parser)}
    unknown = [key for key in map(str, content) if key.split(".")[0] not in known]
    if unknown:
        raise InputError(
            f"--config {path}: {stage} has no option {unknown[0]}{did_you_mean(unknown[0], known)}; "
            f"see `ctxai {stage} --help`"
        )


def check_limits(values: Mapping[str, Any]) -> None:
    """Refuse numbers that no stage can use.

    Raises:
        InputError: naming the option.
    """
    for name, (least, most) in _LIMITS.items():
        value = values.get(name)
        if isinstance(value, int) and not least <= value <= most:
            raise InputError(f"--{name} {value}: expected a whole number from {least} to {most}")


def _keys(parser: ArgumentParser) -> list[str]:
    """Every option of a stage, as in YAML and after ``--``."""
    flags = [flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")]
    positional = [action.dest for action in parser._actions if not action.option_strings]
    return [*(flag.removeprefix("--") for flag in flags), *positional]


def _left_over(words: list[str], known: list[str]) -> str:
    """What is said of words that no option took."""
    first = words[0]
    if first.startswith("--"):
        flag = first.partition("=")[0]
        return f"{flag}: no such option{did_you_mean(flag, [f'--{name}' for name in known])}"
    return f"{first}: one value too many for what stands before it"
