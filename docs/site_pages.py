"""Generated parts of the site: help of the commands, docstrings of the modules, tables of methods and metrics.

A line ``<!-- generate: commands -->`` or ``<!-- generate: modules ctxai.ct -->`` in a page stands for one.
"""

from __future__ import annotations

import pkgutil
import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import method_facts
import metric_facts

from ctxai.cli import help_text
from ctxai.commands import COMMANDS

if TYPE_CHECKING:
    from sphinx.application import Sphinx

MARK = re.compile(r"^<!-- generate: (?P<what>\w+)(?: (?P<argument>[\w.]+))? -->$", re.MULTILINE)
PAGE = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<page>[^):#\s]+\.md)(?:#[^)]*)?\)")
_LITERAL = re.compile(r"``.+?``|\|")


def commands(argument: str | None) -> str:
    """A section with the help of every command."""
    return "\n\n".join(f"## {name}\n\n```text\n{help_text(name)}```" for name in COMMANDS)


def modules(package: str | None) -> str:
    """A section with the docstrings of a package or module, and of every module in it."""
    root = import_module(package)
    below = pkgutil.walk_packages(getattr(root, "__path__", []), f"{package}.")
    start = f"```{{eval-rst}}\n.. automodule:: {package}\n   :no-members:\n```"  # its names are those of its modules
    if not hasattr(root, "__path__"):
        return start.replace("   :no-members:\n", "")
    names = [module.name for module in below if not module.ispkg]
    return "\n\n".join([start, *(f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n```" for name in names)])


def methods(argument: str | None) -> str:
    """Table of all explanation methods."""
    return method_facts.table()


def metrics(argument: str | None) -> str:
    """Table of all metrics of explanations."""
    return metric_facts.table()


def _generate(app: Sphinx, page: str, source: list[str]) -> None:
    """Put in what marks stand for. A link to a page outside this folder, which the site has not, becomes its text."""
    text = MARK.sub(lambda mark: globals()[mark["what"]](mark["argument"]), source[0])
    folder = Path(app.srcdir, page).parent
    source[0] = PAGE.sub(
        lambda link: link[0] if (folder / link["page"]).resolve().is_relative_to(app.srcdir) else link["text"], text
    )


def _plain_bars(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """``|s|`` in a docstring is a magnitude, not a substitution of reStructuredText."""
    lines[:] = [_LITERAL.sub(lambda found: found[0] if found[0] != "|" else r"\|", line) for line in lines]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", _generate)
    app.connect("autodoc-process-docstring", _plain_bars)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
