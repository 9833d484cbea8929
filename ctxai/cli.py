"""``ctxai COMMAND …``: cyclopts reads the command line that the signature and docstring of a command describe."""

from __future__ import annotations

import importlib
import inspect
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

from cyclopts import App, CycloptsError, Group, Parameter, Token
from cyclopts.argument import ArgumentCollection
from rich.console import Console

from ctxai import __version__
from ctxai.cli_backbone import follow_backbone
from ctxai.cli_config import YamlOptions
from ctxai.cli_errors import check_value, input_error
from ctxai.commands import COMMANDS
from ctxai.errors import InputError, fault_of, printable
from ctxai.files import explain_os_errors
from ctxai.interrupts import keep_interrupts
from ctxai.offline import configure_offline_mode
from ctxai.output_folder import locked
from ctxai.suggestions import did_you_mean

#: Added to an error that nobody expected.
_UNTOLD = "this is a fault of ctxai; CTXAI_LOG=DEBUG also tells the error's own words, which may quote images or paths"
_CONFIG = "YAML file with any of the options below: yours, or a bundled one such as tiny.yaml."
_WELCOME = f"""\
A first overlay, on a CT that is drawn for you; then open out/report.html:

    {COMMANDS["phantom"].example}
    ctxai explain ct out

Every command has a --help with an example. Nodules come from LIDC-IDRI, your points, or a detector of yours (detect):
no nodule detector is part of the package.
"""

_Shell = Literal["bash", "zsh", "fish", "powershell"]

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 done, 2 bad input (one line ``error: …`` on stderr), 130 interrupted, 1 anything else.
    """
    try:
        _begin_log()
        configure_offline_mode()
        with explain_os_errors(), _closed_to_others(), keep_interrupts(), _interrupts():
            run_command(list(sys.argv[1:] if arguments is None else arguments))
    except InputError as error:
        print(f"error: {printable(error)}", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt as stopped:
        where = f": {stopped}" if str(stopped) else ""
        print(f"interrupted; the same command goes on where it stopped{where}", file=sys.stderr)  # noqa: T201
        return 130
    except Exception as error:
        if logger.isEnabledFor(logging.DEBUG):
            raise
        print(f"{fault_of(error)}\n{_UNTOLD}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


@contextmanager
def _closed_to_others() -> Iterator[None]:
    """Files are for their owner, and for the group where the user's umask says so: they show patients."""
    before = os.umask(0)
    os.umask(before | 0o007)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def _interrupts() -> Iterator[None]:
    """Ctrl-C as such, also where Lightning has made ``sys.exit`` of it."""
    try:
        yield
    except SystemExit as stopped:
        if isinstance(stopped.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise


def _begin_log() -> None:
    """Send warnings to stderr, a line each; with a level of CTXAI_LOG more, and the module that it comes from.

    Other libraries' DEBUG, which tells paths and pixels, is never shown.

    Raises:
        InputError: for an unknown level.
    """
    name = os.environ.get("CTXAI_LOG")
    if name is None:
        logging.basicConfig(format="%(levelname)s: %(message)s")
        if not sys.stderr.isatty():
            logging.getLogger("ctxai.epochs").setLevel(logging.INFO)  # a log of a cluster shows how far it is
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # our own error repeats it
        return
    level = logging.getLevelNamesMapping().get(name.upper())
    if level is None:
        raise InputError(f"CTXAI_LOG={name}: expected DEBUG, INFO, WARNING or ERROR")
    logging.basicConfig(level=max(level, logging.INFO), format="%(levelname)s %(name)s: %(message)s")
    if level < logging.INFO:
        logging.getLogger("ctxai").setLevel(level)


def run_command(arguments: Sequence[str]) -> None:
    """Run one command given as on the command line, without the program's name.

    Raises:
        InputError: for an unknown command, wrong arguments or bad input.
    """
    asked = parse(arguments)
    if asked is not None:
        function, values = asked
        values.apply_defaults()
        with _output_locked(function.__name__.replace("_", "-"), values.arguments):
            function(*values.args, **values.kwargs)


def _output_locked(name: str, values: Mapping[str, Any]) -> AbstractContextManager[None]:
    """Lock of the output folder of a command; of several processes of one training, the first holds it."""
    folder = next((values[one] for one in COMMANDS[name].writes if values.get(one)), None) if name in COMMANDS else None
    rank = next((os.environ[one] for one in ("RANK", "LOCAL_RANK", "SLURM_PROCID") if one in os.environ), "0")
    if folder is None or (name in {"train", "pretrain"} and rank != "0"):
        return nullcontext()
    part = str(values.get("shard") or "")
    return locked(folder, name, "" if part == "0/1" else part)


def parse(arguments: Sequence[str]) -> tuple[Callable[..., Any], inspect.BoundArguments] | None:
    """The function that a command line asks for, and its arguments; those that were not given are absent.

    None after ``--help``, which has been printed.

    Raises:
        InputError: for an unknown command or wrong arguments.
    """
    words = _normalised(arguments)
    name = words[0] if words else "--help"
    if name in {"help", "--help", "-h", "--version", "--print-completion"}:
        return _about, inspect.signature(_about).bind(words)
    if name.replace("_", "-") not in COMMANDS:
        known = [*COMMANDS, "--help", "--version", "--print-completion"]
        raise InputError(f"{name}: no such command; expected one of {', '.join(COMMANDS)}{did_you_mean(name, known)}")
    name = name.replace("_", "-")
    try:
        return command_app(name).meta([name, *words[1:]])
    except CycloptsError as error:
        raise input_error(error, name) from None


def _normalised(arguments: Sequence[str]) -> list[str]:
    """Words with hyphens in the names of options, and ``--group.flag false`` and ``[a,b]`` as cyclopts takes them."""
    words: list[str] = []
    for word in arguments:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            words.append(name.replace("_", "-") + equals + value)
        elif word in {"true", "false"} and words and re.fullmatch(r"--[\w-]+\.[\w.-]+", words[-1]):
            words[-1] += f"={word}"
        elif word == "all" and words[-1:] == ["--folds"]:
            words[-1:] = ["--folds.test", word]
        elif re.fullmatch(r"\[.*\]", word):
            words += [part.strip(" \"'") for part in word[1:-1].split(",")]
        else:
            words.append(word)
    return words


def command_app(name: str) -> App:
    """The command line of one command; its ``meta`` also takes ``--config``."""
    identifier = name.replace("-", "_")
    function = getattr(importlib.import_module(f"ctxai.commands.{identifier}"), identifier)
    app = _CommandApp(
        name=name,
        help_epilogue=f"Example: {COMMANDS[name].example}",
        default_parameter=Parameter(
            consume_multiple=1, negative_iterable=(), allow_repeating=True, show_default=_shown
        ),
    )
    app.default(function)
    app["--help"].show = False
    root = App(
        name="ctxai",
        help_format="markdown",
        version_flags=[],
        exit_on_error=False,
        print_error=False,
        result_action="return_value",
    )
    root.command(app)

    @root.meta.default
    def launch(
        *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        config: Annotated[list[Path] | None, Parameter(consume_multiple=False, negative=(), help=_CONFIG)] = None,
    ) -> tuple[Callable[..., Any], inspect.BoundArguments]:
        root.config = (*(YamlOptions(path, name) for path in reversed(config or [])), follow_backbone, _complete)
        command, bound, _ = root.parse_args(words)
        return command, bound

    return root


def help_text(name: str, width: int = 80) -> str:
    """Text of ``ctxai NAME --help``, in lines of at most ``width`` characters."""
    text = io.StringIO()
    command_app(name).meta.help_print([name], console=Console(file=text, width=width))
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


class _CommandApp(App):
    """A command whose help shows the function's own defaults for the fields of a dataclass."""

    def assemble_argument_collection(self, **options: Any) -> ArgumentCollection:
        arguments = super().assemble_argument_collection(**options)
        for root in arguments:
            if not root.keys and is_dataclass(root.field_info.default):
                for child in root.children_recursive:
                    child.field_info.default = _field(root.field_info.default, child.keys)
        return arguments


def _complete(app: object, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Check given values, and fill in the fields that a given dataclass does not share with its class's defaults.

    Of a list that is given twice, the last one counts, as of every other option.
    """
    for argument in arguments:
        firsts = [number for number, token in enumerate(argument.tokens) if token.index == 0 and not token.keys]
        del argument.tokens[: firsts[-1] if firsts else 0]
        if Path in get_args(argument.hint) and [token.value for token in argument.tokens] == ["null"]:
            argument.tokens[:] = [Token(implicit_value=None, source=argument.tokens[0].source)]  # no file of this name
        check_value(argument)
        if not argument.keys and argument.has_tokens and is_dataclass(argument.field_info.default):
            for child in argument.children_recursive:
                if not child.children and not child.tokens:
                    value = _field(argument.field_info.default, child.keys)
                    child.append(Token(implicit_value=value, source="default"))


def _field(value: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        value = getattr(value, key)
    return value


def _shown(default: Any) -> str | None:
    """A default as it would be given; None where there is none, or a flag is off."""
    if default is None or default is False or default == []:
        return None
    if default is True:
        return "yes"
    return " ".join(map(str, default)) if isinstance(default, (list, tuple)) else str(default)


def _about(words: Sequence[str]) -> None:
    """Print the help of all commands, the version, or the completion of a shell."""
    if words[:1] == ["--print-completion"]:
        _print_completion(words[1] if len(words) > 1 else "")
        return
    app = App(name="ctxai", version=f"ctxai {__version__}", help_format="markdown", help_epilogue=_WELCOME)
    app.help = f"ctxai {__version__}: lung-nodule assessment on CT that shows its evidence. Research use only."
    headings = list(dict.fromkeys(command.heading for command in COMMANDS.values()))
    groups = {heading: Group(heading, sort_key=number) for number, heading in enumerate(headings)}
    for number, (name, command) in enumerate(COMMANDS.items()):
        path = f"ctxai.commands.{name}:{name}"  # imported for its own help alone
        app.command(path, name=name, help=command.summary, group=groups[command.heading], sort_key=number)
    app["--help"].show = app["--version"].show = False
    app(["--version" if words[:1] == ["--version"] else "--help"], result_action="return_value")


def _print_completion(shell: str) -> None:
    """Print the script with which a shell completes commands and options.

    Raises:
        InputError: for another shell than cyclopts knows.
    """
    shells = get_args(_Shell)
    if shell not in shells:
        meant = did_you_mean(shell, shells)
        raise InputError(f"--print-completion {shell}: expected one of {', '.join(shells)}{meant}")
    app = App(name="ctxai", version=__version__)
    for name in COMMANDS:
        app.command(command_app(name)[name])
    print(app.generate_completion(shell=cast(_Shell, shell)))  # noqa: T201
