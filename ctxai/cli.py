"""``ctxai STAGE …``: one sub-command per stage function; flags and YAML keys come from its signature."""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from jsonargparse import ActionConfigFile, ArgumentError, ArgumentParser
from rich.console import Console

from ctxai import __version__
from ctxai.errors import InputError
from ctxai.resources import resource

#: Stages in the order of the work, with what each is for.
STAGES = {
    "demo": "the whole pipeline on a synthetic cohort, in a few minutes",
    "phantom": "write a synthetic LIDC-IDRI: CT series drawn from the radiologists' outlines",
    "manifest": "write the tables of LIDC-IDRI's scans, nodules, readings and folds",
    "ingest": "cut every nodule out of its CT and put it in a nodule store",
    "train": "fine-tune a vision transformer on a nodule store; gives a run folder",
    "evaluate": "judge a run on its test fold, with intervals",
    "explain": "predict and explain the nodules of a CT; writes overlays in its own geometry",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one stage.

    Returns:
        0 done, 2 bad input (one line ``error: …`` on stderr), 1 anything else.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in {"-h", "--help"}:
        _print_help()
        return 0
    if arguments[0] == "--version":
        Console().print(f"ctxai {__version__}", highlight=False)
        return 0
    logging.basicConfig(
        level=os.environ.get("CTXAI_LOG", "WARNING").upper(), format="%(levelname)s %(name)s: %(message)s"
    )
    try:
        name = arguments[0]
        if name not in STAGES:
            raise InputError(f"{name}: no such stage; expected one of {', '.join(STAGES)}")
        function = _stage_function(name)
        parser = stage_parser(name, function)
        try:
            values = parser.parse_args(_bundled_configs(arguments[1:]))
        except ArgumentError as error:
            raise InputError(f"{error}; see `ctxai {name} --help`") from None
        values.pop("config", None)
        function(**parser.instantiate(values))
    except InputError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it stopped", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def stage_parser(name: str, function: Callable | None = None) -> ArgumentParser:
    """The parser of one stage.

    Parameters before the ``*`` of the stage function are positional, the others are flags and YAML keys; help comes
    from the docstring.
    """
    function = function or _stage_function(name)
    summary, _, rest = inspect.cleandoc(function.__doc__ or "").partition("\nArgs:")[0].partition("\n\n")
    parser = ArgumentParser(prog=f"ctxai {name}", description=f"{summary}\n\n{rest}".strip(), exit_on_error=False)
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file with any of the options below")
    positional = [p for p in inspect.signature(function).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    parser.add_function_arguments(function, as_group=False, as_positional=False, fail_untyped=True)
    for parameter in positional:
        _make_positional(parser, parameter)
    return parser


def _make_positional(parser: ArgumentParser, parameter: inspect.Parameter) -> None:
    """Turn the option of ``parameter`` into a positional argument, optional where it has a default."""
    action = next(a for a in parser._actions if a.dest == parameter.name)
    for option in action.option_strings:
        parser._option_string_actions.pop(option, None)
    action.option_strings = []
    action.required = parameter.default is parameter.empty
    action.nargs = None if action.required else "?"
    action.metavar = parameter.name.upper()
    group = parser._action_groups[0]
    for other in parser._action_groups:
        if action in other._group_actions:
            other._group_actions.remove(action)
    group._group_actions.append(action)


def _stage_function(name: str) -> Callable:
    identifier = name.replace("-", "_")
    return getattr(importlib.import_module(f"ctxai.stages.{identifier}"), identifier)


def _bundled_configs(arguments: list[str]) -> list[str]:
    """``--config tiny.yaml`` means the bundled file where no such file lies in the working folder."""
    resolved = list(arguments)
    for i, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag != "--config":
            continue
        position = i if equals else i + 1
        value = value if equals else (arguments[i + 1] if i + 1 < len(arguments) else "")
        if value and not Path(value).exists() and Path(value).name == value:
            path = str(resource("configs", value))
            resolved[position] = f"--config={path}" if equals else path
    return resolved


def _print_help() -> None:
    console = Console(highlight=False)
    console.print(f"ctxai {__version__}: lung-nodule assessment on CT that shows its evidence. Research use only.\n")
    console.print("usage: ctxai STAGE [--help] …\n", markup=False)
    for name, summary in STAGES.items():
        console.print(f"  {name:<10} {summary}")
    console.print("\nStart with `ctxai demo`. There is no nodule detector: nodules come from LIDC-IDRI or your points.")
