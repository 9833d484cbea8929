"""Options as plain values, for YAML and for checkpoints that hold nothing but tensors and plain values; and back."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from pathlib import Path
from typing import Any


def plain_options(options: Any) -> dict[str, Any]:
    """The values of a dataclass, nested ones too, as dicts, lists, strings and numbers."""
    return _plain(dataclasses.asdict(options))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def build_options(kind: type, values: dict[str, Any]) -> Any:
    """A dataclass from the values that :func:`plain_options` gives of it.

    Raises:
        TypeError: for an unknown name, or a value of another type.
    """
    hints = typing.get_type_hints(kind)
    unknown = set(values) - set(hints)
    if unknown:
        raise TypeError(f"unknown option {', '.join(sorted(unknown))}")
    return kind(**{name: _value(hints[name], value) for name, value in values.items()})


def _value(hint: Any, value: Any) -> Any:
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return build_options(hint, value)
    if isinstance(value, list):
        kinds = [part for part in _parts(hint) if isinstance(part, type) and dataclasses.is_dataclass(part)]
        value = tuple(build_options(kinds[0], one) if kinds and isinstance(one, dict) else one for one in value)
    if hint == Path | None and value is not None:
        value = Path(value)
    if not _fits(hint, value):
        raise TypeError(f"found {value!r}, expected {getattr(hint, '__name__', hint)}")
    return value


def _parts(hint: Any) -> list[Any]:
    """The types that a type is made of, nested ones too."""
    inner = typing.get_args(hint)
    return [part for one in inner for part in _parts(one)] if inner else [hint]


def _fits(hint: Any, value: Any) -> bool:
    """Whether a value is of a type that the options have; numbers are finite."""
    parts = typing.get_args(hint)
    match typing.get_origin(hint):
        case typing.Literal:
            return value in parts
        case types.UnionType | typing.Union:
            return any(_fits(part, value) for part in parts)
        case origin if origin is dict:
            return isinstance(value, dict)
        case origin if origin is tuple:
            parts = parts[:1] * len(value) if isinstance(value, tuple) and parts[1:] == (...,) else parts
            return isinstance(value, tuple) and len(value) == len(parts) and all(map(_fits, parts, value))
    if hint in (int, float):
        kinds = int if hint is int else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, hint)
