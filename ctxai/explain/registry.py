"""Every explanation method by name: this package's, and third parties' through the entry point group."""

from __future__ import annotations

import functools
import importlib.metadata
import logging
from typing import TYPE_CHECKING

from ctxai.errors import InputError
from ctxai.suggestions import did_you_mean

if TYPE_CHECKING:
    from ctxai.explain.base import Attribution

ENTRY_POINTS = "ctxai.explain"

_log = logging.getLogger(__name__)
_methods: dict[str, type[Attribution]] = {}


def register(method: type[Attribution]) -> None:
    """Make a method known by its ``name``; happens on definition of its class.

    Raises:
        InputError: when another class has this name.
    """
    known = _methods.get(method.name)
    if known is not None and (known.__module__, known.__qualname__) != (method.__module__, method.__qualname__):
        raise InputError(
            f"expected a new name for {method.__qualname__}, found {method.name!r}, which is {known.__qualname__}'s; "
            "choose another"
        )
    _methods[method.name] = method


def list_methods() -> list[str]:
    """The names of all methods, sorted."""
    _load_entry_points()
    return sorted(_methods)


def get_method(name: str) -> type[Attribution]:
    """The class of a method by name; capitals and underscores do not matter.

    Raises:
        InputError: for an unknown name.
    """
    by_plain_name = {_plain(known): known for known in list_methods()}
    if _plain(name) not in by_plain_name:
        known = list_methods()
        raise InputError(
            f"expected an explanation method, found {name!r}; known: {', '.join(known)}{did_you_mean(name, known)}"
        )
    return _methods[by_plain_name[_plain(name)]]


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


@functools.cache
def _load_entry_points() -> None:
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            entry.load()
        except (ImportError, AttributeError) as error:
            _log.warning("the explanation method %s (%s) cannot be loaded: %s", entry.name, entry.value, error)
