"""Errors of a command line in one line each, with what to write instead."""

from __future__ import annotations

import re
from typing import get_args, get_origin

from cyclopts import Token
from cyclopts.argument import Argument
from cyclopts.exceptions import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    UnknownOptionError,
    UnusedCliTokensError,
)
from cyclopts.utils import UNSET

from ctxai.commands import COMMANDS
from ctxai.errors import InputError, one_line
from ctxai.suggestions import did_you_mean

#: Least and most that options of these names take in every command.
_LIMITS = {"seed": (0, 2**63 - 1), "workers": (0, 4096), "port": (0, 65535), "move_port": (1, 65535)}
_TYPES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def input_error(error: CycloptsError, command: str) -> InputError:
    """An error of cyclopts as one of ours."""
    see = f"see `ctxai {command} --help`"
    argument = error.argument
    if isinstance(error, UnknownOptionError):
        names = [name for one in error.argument_collection for name in one.names]
        found = error.token.keyword or error.token.value
        return InputError(f"{found}: no such option{did_you_mean(found, names)}; {see}")
    if isinstance(error, MissingArgumentError) and argument is not None:
        if argument.index is not None:
            return InputError(f"{argument.name} missing; for example `{COMMANDS[command].example}`")
        name = error.keyword or argument.name
        if (count := argument.token_count()[0]) > 1:
            return InputError(f"{name}: expected {count} values, found {len(error.tokens_so_far)}")
        return InputError(f"{name}: expected a value after it; one that begins with - as {name}=VALUE")
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return InputError(f"{error.unused_tokens[0]}: one value too many for what stands before it; {see}")
    if isinstance(error, CoercionError) and error.token is not None and error.target_type is not None:
        choices = [str(one) for one in get_args(error.target_type)] if get_origin(error.target_type) else []
        expected = f"one of {', '.join(choices)}" if choices else _TYPES.get(error.target_type, "another value")
        value = error.token.value
        return InputError(f"{given_as(error.token)} {value}: expected {expected}{did_you_mean(value, choices)}")
    error.verbose = False
    return InputError(f"{one_line(error)}; {see}")


def given_as(token: Token) -> str:
    """How the user gave a value: ``--name``, or the file, line and key."""
    keyword = token.keyword or ""
    if token.source not in ("", "cli"):
        return f"{token.source}: {keyword.strip('[]').replace('][', '.').replace('-', '_')}"
    return keyword


def check_value(argument: Argument) -> None:
    """Refuse a number with a fraction where a whole one is expected, and numbers that no command can use.

    Raises:
        InputError: naming the option.
    """
    whole = argument.hint is int or set(get_args(argument.hint)) == {int, type(None)}
    for token in argument.tokens:
        if argument.children and not token.keys:
            raise InputError(
                f"{given_as(token)} {token.value}: a group of options; give them one by one as {argument.name}.NAME, "
                "or a YAML file of all with --config"
            )
        if whole and token.implicit_value is UNSET and token.value.lower() not in {"none", "null"}:
            if not re.fullmatch(r"[+-]?[0-9]+", token.value):
                raise InputError(f"{given_as(token)} {token.value}: expected a whole number")
            least, most = _LIMITS.get(argument.field_info.name, (None, None))
            if least is not None and most is not None and not least <= int(token.value) <= most:
                raise InputError(f"{given_as(token)} {token.value}: expected a whole number from {least} to {most}")
