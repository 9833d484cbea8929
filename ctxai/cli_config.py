"""``--config FILE.yaml``: options of a command from a YAML file; errors name the file and the line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from cyclopts.argument import ArgumentCollection, update_argument_collection

from ctxai.errors import InputError, one_line
from ctxai.resources import resource
from ctxai.suggestions import did_you_mean


class YamlOptions:
    """The options of a YAML file, as a source of values for cyclopts; what is on the command line wins.

    Args:
        path: the file; a bare name such as tiny.yaml is a bundled one where no such file is in the working folder.
        command: for errors.

    Raises:
        InputError: for a file that cannot be read as YAML options.
    """

    def __init__(self, path: Path, command: str) -> None:
        self._command = command
        self._path = resource("configs", path.name) if not path.exists() and path.name == str(path) else path
        try:
            text = self._path.read_text(encoding="utf-8")
            root, self._values = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text) or {}
        except OSError as error:
            raise InputError(f"--config {path}: cannot be read ({error.strerror}); give a YAML file") from None
        except UnicodeDecodeError as error:
            raise InputError(f"--config {path}: expected a YAML file in UTF-8 ({error})") from None
        except yaml.YAMLError as error:
            mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
            where = f", line {mark.line + 1}" if mark else ""
            raise InputError(f"--config {path}{where}: expected a YAML file ({problem or one_line(error)})") from None
        if not isinstance(self._values, dict):
            found = one_line(self._values)
            raise InputError(f"--config {path}: expected lines of the form `option: value`, found {found}")
        self._lines = dict(_lines(root, ()))

    def __call__(self, app: object, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        """Fill in the arguments that have no value yet.

        Raises:
            InputError: for a key that is no option of the command.
        """
        known = [name.removeprefix("--").replace("-", "_") for one in arguments for name in one.names]
        for keys, value in list(_leaves(self._values, ())):
            name = ".".join(keys)
            source = f"--config {self._path}, line {self._lines[keys]}"
            if not _matches(arguments, name):
                meant = did_you_mean(name, known)
                raise InputError(
                    f"{source}: {self._command} has no option {name}{meant}; see `ctxai {self._command} --help`"
                )
            nested: Any = value
            for key in reversed(keys):
                nested = {key.replace("_", "-"): nested}
            update_argument_collection(nested, source, arguments, root_keys=(), allow_unknown=False)


def _matches(arguments: ArgumentCollection, name: str) -> bool:
    try:
        arguments.match("--" + name.replace("_", "-"))
    except ValueError:
        return False
    return True


def _leaves(value: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*keys, str(key)))
    else:
        yield keys, value


def _lines(node: yaml.Node | None, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    """Line of every key, counted from 1."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*keys, key.value), key.start_mark.line + 1
            yield from _lines(value, (*keys, key.value))
