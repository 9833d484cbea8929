"""Registry of what people add by name: discovered in a package, and in third parties' through entry points."""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Generic, TypeVar

from ctxai.errors import InputError
from ctxai.suggestions import did_you_mean

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Registry(Generic[T]):
    """Named items of one kind: explanation methods, metrics, output formats, annotation sources.

    The modules of ``package`` (subpackages included) and the entry points of group ``entry_points`` are imported at
    the first look-up; each registers what it defines. No list has to be maintained.

    Args:
        kind: noun with its article for error messages, such as "an explanation method".
        package: dotted name of the package whose modules register items.
        entry_points: group of the entry points of other distributions.
    """

    def __init__(self, kind: str, package: str, entry_points: str) -> None:
        self.kind = kind
        self.package = package
        self.entry_points = entry_points
        self._items: dict[str, T] = {}
        self._discovered = False

    def register(self, name: str, item: T) -> T:
        """Add ``item`` under ``name``; a reloaded module may register its item again.

        Raises:
            InputError: when another item has this name.
        """
        known = self._items.get(name)
        if known is not None and _origin(known) != _origin(item):
            raise InputError(
                f"expected a new name for {_origin(item)[1]}, found {name!r}, which is {_origin(known)[1]}'s; "
                "choose another"
            )
        self._items[name] = item
        return item

    def names(self) -> list[str]:
        """Sorted names of all items."""
        self._discover()
        return sorted(self._items)

    def get(self, name: str) -> T:
        """Item of that name; capitals, hyphens and underscores are ignored.

        Raises:
            InputError: for an unknown name, with the nearest known one.
        """
        names = self.names()
        match = {_plain(known): known for known in names}.get(_plain(name))
        if match is None:
            raise InputError(
                f"expected {self.kind}, found {name!r}; known: {', '.join(names)}{did_you_mean(name, names)}"
            )
        return self._items[match]

    def __iter__(self) -> Iterator[T]:
        """Items in the order of their names."""
        return iter([self._items[name] for name in self.names()])

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        for name in module_names(importlib.import_module(self.package)):
            importlib.import_module(name)
        for entry in importlib.metadata.entry_points(group=self.entry_points):
            try:
                entry.load()
            except (ImportError, AttributeError) as error:
                _log.warning("%s %s (%s) cannot be loaded: %s", self.kind, entry.name, entry.value, error)


def module_names(package: ModuleType) -> list[str]:
    """Dotted names of all modules in ``package``, subpackages included, sorted."""
    found = []
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        found.append(module.name)
        if module.ispkg:
            found += module_names(importlib.import_module(module.name))
    return sorted(found)


def _origin(item: object) -> tuple[str, str]:
    definition = item if hasattr(item, "__qualname__") else type(item)
    return definition.__module__, getattr(definition, "__qualname__", "")


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
