"""``ctxai doctor``: what is installed, what is missing, and the command that gets it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from ctxai import __version__
from ctxai.diagnostics import State
from ctxai.errors import InputError
from ctxai.progress import console as progress_console

if TYPE_CHECKING:
    from ctxai.diagnostics import Check

_SIGNS = {State.GOOD: "[green]good[/]", State.ABSENT: "[yellow]absent[/]", State.BAD: "[red]bad[/]"}


def doctor(*, json: bool = False) -> None:
    """Say what of ctxai works on this machine, and for what does not, the command that mends it.

    Nothing is fetched or changed, and nothing that is printed names a person, a machine or a folder: it can be pasted
    into a report of a fault. The exit code is 0 when everything that ctxai cannot do without is there, 2 otherwise;
    what is optional may be absent.

    Args:
        json: print JSON instead of a table.
    """
    from ctxai.diagnostics import health

    with progress_console.status("Looking round"):
        checks = health()
    (_print_json if json else _print_table)(checks)
    broken = [check for check in checks if check.needed and check.state is not State.GOOD]
    if broken:
        raise InputError(f"{len(broken)} of what is needed is missing or bad, the first: {broken[0].name}; see `mend`")


def _print_table(checks: list[Check]) -> None:
    console = Console()
    console.print(f"ctxai {__version__}", highlight=False)
    for area in dict.fromkeys(check.area for check in checks):
        table = Table(
            box=None, pad_edge=False, padding=(0, 2, 0, 0), title=area, title_justify="left", title_style="bold"
        )
        for heading in ("", "", "found", "mend"):
            table.add_column(heading, overflow="fold", header_style="dim")
        for check in checks:
            if check.area == area:
                table.add_row(_SIGNS[check.state], check.name, check.found, check.mend)
        console.print()
        console.print(table, highlight=False)


def _print_json(checks: list[Check]) -> None:
    works = all(check.state is State.GOOD for check in checks if check.needed)
    report = {"ctxai": __version__, "works": works, "checks": [asdict(check) for check in checks]}
    print(json.dumps(report, indent=2))  # noqa: T201
