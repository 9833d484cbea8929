"""``ctxai STAGE …``: one sub-command per stage function; flags and YAML keys come from its signature."""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import docstring_parser
from jsonargparse import ActionConfigFile, ActionYesNo, ArgumentError, ArgumentParser
from rich.console import Console

from ctxai import __version__
from ctxai.errors import InputError, fault_of, printable
from ctxai.files import explain_os_errors
from ctxai.help import EXAMPLES, StageHelp, print_help
from ctxai.misuse import check_config, check_limits, say_what_is_wrong
from ctxai.offline import configure_offline_mode
from ctxai.resources import resource
from ctxai.suggestions import did_you_mean

#: Stages in the order of the work, with what each is for.
STAGES = {
    "doctor": "say what is installed, what is missing, and the command that gets it",
    "demo": "the whole pipeline on a synthetic cohort, in a few minutes",
    "phantom": "write a synthetic LIDC-IDRI: CT series drawn from the radiologists' outlines",
    "explain": "predict and explain the nodules of a CT; writes overlays in its own geometry",
    "report": "write the HTML report of explain's results again",
    "review": "open the results on a CT in a viewer on this machine",
    "manifest": "write the tables of LIDC-IDRI's scans, nodules, readings and folds",
    "ingest": "cut every nodule out of its CT and put it in a nodule store",
    "verify": "check a manifest, a nodule store and a DICOM tree against each other",
    "pretrain": "train a vision transformer on a store's images without labels",
    "train": "fine-tune a vision transformer on a nodule store; gives a run folder",
    "evaluate": "evaluate a run on its test fold, with intervals",
    "export-bundle": "write a run as a MONAI bundle, for MONAI's own runner",
    "planted": "write a nodule store whose labels are tied to evidence in a known place",
    "train-diffmask": "train the gates that the explanation method vision_diffmask needs",
    "benchmark": "score every explanation method by every metric, on real nodules or planted truth",
    "fetch-study": "fetch the CT series of a study from a PACS",
    "send": "send the DICOM objects of a result folder to a PACS",
    "watch": "listen for CTs, explain each and send the results to a PACS",
}

#: What is said after an error that nobody expected.
_UNTOLD = "this is a fault of ctxai; CTXAI_LOG=DEBUG also tells the error's own words, which may quote images or paths"

_NUMBER = re.compile(r"0|[1-9][0-9]*")

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one stage.

    Returns:
        0 done, 2 bad input (one line ``error: …`` on stderr), 1 anything else.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        print_help(STAGES)
        return 0
    if arguments[0] == "--version":
        Console().print(f"ctxai {__version__}", highlight=False)
        return 0
    try:
        _begin_log()
        configure_offline_mode()
        with explain_os_errors():
            run_stage(arguments)
    except InputError as error:
        print(f"error: {printable(error)}", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it stopped", file=sys.stderr)  # noqa: T201
        return 1
    except Exception as error:
        if logger.isEnabledFor(logging.DEBUG):
            raise
        print(f"{fault_of(error)}\n{_UNTOLD}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _begin_log() -> None:
    """Warnings as a line each on stderr; with a level of CTXAI_LOG more, and which module says it.

    Other libraries' DEBUG, which tells paths and pixels, is told in no case.

    Raises:
        InputError: for a level that there is not.
    """
    name = os.environ.get("CTXAI_LOG")
    if name is None:
        logging.basicConfig(format="%(levelname)s: %(message)s")
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # what it says, our own error says
        return
    level = logging.getLevelNamesMapping().get(name.upper())
    if level is None:
        raise InputError(f"CTXAI_LOG={name}: expected DEBUG, INFO, WARNING or ERROR")
    logging.basicConfig(level=max(level, logging.INFO), format="%(levelname)s %(name)s: %(message)s")
    if level < logging.INFO:
        logging.getLogger("ctxai").setLevel(level)


def run_stage(arguments: Sequence[str]) -> None:
    """Run one stage given as on the command line, without the program's name.

    Raises:
        InputError: for an unknown stage, wrong arguments or bad input.
    """
    name = arguments[0]
    if name == "--print_completion":
        from ctxai.completion import completion_script

        print(completion_script(arguments[1] if len(arguments) > 1 else ""))  # noqa: T201
        return
    if name not in STAGES:
        known = [*STAGES, "--help", "--version", "--print_completion"]
        raise InputError(f"{name}: no such stage; expected one of {', '.join(STAGES)}{did_you_mean(name, known)}")
    function = _stage_function(name)
    parser = stage_parser(name, function)
    words = _bundled_configs(list(arguments[1:]))
    for _, _, path in _configs_in(words):
        check_config(Path(path), parser, name)
    try:
        values = parser.parse_args(words)
    except ArgumentError as error:
        raise say_what_is_wrong(error, parser, name) from None
    except RuntimeError:  # jsonargparse's, where YAML has a mapping and the option is a list
        raise InputError(
            f"--config: a value has another form than its option takes; see `ctxai {name} --help`"
        ) from None
    values.pop("config", None)
    plain = _plain_values(function, vars(parser.instantiate(values)))
    check_limits(plain)
    function(**plain)


def stage_parser(name: str, function: Callable | None = None) -> ArgumentParser:
    """The parser of one stage.

    Parameters before the ``*`` of the stage function are positional, the others are flags and YAML keys: lists take
    several values after one flag, booleans are ``--flag`` and ``--no-flag``. Help comes from the docstring.
    """
    function = function or _stage_function(name)
    docstring = docstring_parser.parse((function.__doc__ or "").replace("``", "`"))
    explained = {p.arg_name: p.description or "" for p in docstring.params}
    description = "\n\n".join(part for part in (docstring.short_description, docstring.long_description) if part)
    parser = ArgumentParser(
        prog=f"ctxai {name}",
        description=description,
        epilog=f"Example: {EXAMPLES[name]}",
        formatter_class=StageHelp,
        exit_on_error=False,
    )
    parser.add_argument("--config", action=ActionConfigFile, help="YAML file with any of the options below")
    hints = get_type_hints(function)
    own: set[str] = set()
    for parameter in inspect.signature(function).parameters.values():
        kind, text, default = hints[parameter.name], explained.get(parameter.name), parameter.default
        required = default is parameter.empty
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            options = {} if required else {"nargs": "?", "default": default}
            parser.add_argument(parameter.name, type=kind, metavar=parameter.name.upper(), help=text, **options)
        elif kind is bool:
            action = ActionYesNo(no_prefix="no-")
            parser.add_argument(f"--{parameter.name}", action=action, default=default, help=text)
        elif (element := _list_element(kind)) is not None:
            parser.add_argument(f"--{parameter.name}", type=element, nargs="+", default=default, help=text)
        elif is_dataclass(kind):
            continue
        else:
            parser.add_argument(f"--{parameter.name}", type=kind, default=default, help=text)
        own.add(parameter.name)
    places = [
        p.name.upper() for p in inspect.signature(function).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    parser.usage = " ".join([parser.prog, *places, "[OPTION …]"])
    parser.add_function_arguments(function, as_group=False, skip=own, fail_untyped=True)
    return parser


def _list_element(kind: Any) -> Any:
    """Type of one value of a list parameter (``list[str]``, ``int | list[str] | None``), None for other kinds."""
    lists = [part for part in (kind, *get_args(kind)) if get_origin(part) is list]
    return get_args(lists[0])[0] if lists else None


def _plain_values(function: Callable, values: dict[str, Any]) -> dict[str, Any]:
    """A single number given to ``int | list[str]`` is the number; 0515 is no number but an id cut short."""
    hints = get_type_hints(function)
    return {
        name: int(value[0])
        if int in get_args(hints[name]) and isinstance(value, list) and len(value) == 1 and _NUMBER.fullmatch(value[0])
        else value
        for name, value in values.items()
    }


def _stage_function(name: str) -> Callable:
    identifier = name.replace("-", "_")
    return getattr(importlib.import_module(f"ctxai.commands.{identifier}"), identifier)


def _bundled_configs(arguments: list[str]) -> list[str]:
    """``--config tiny.yaml`` means the bundled file where no such file lies in the working folder."""
    resolved = list(arguments)
    for position, prefix, value in _configs_in(arguments):
        if not Path(value).exists() and Path(value).name == value:
            resolved[position] = f"{prefix}{resource('configs', value)}"
    return resolved


def _configs_in(arguments: list[str]) -> Iterator[tuple[int, str, str]]:
    """Every file after ``--config``: the position of its word, what stands before it there, and the file."""
    for position, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag == "--config" and equals and value:
            yield position, "--config=", value
        elif flag == "--config" and not equals and position + 1 < len(arguments):
            yield position + 1, "", arguments[position + 1]
