"""What ``ctxai --help`` and ``ctxai STAGE --help`` print."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from jsonargparse import ActionYesNo, DefaultHelpFormatter
from rich.console import Console
from rich.table import Table

from ctxai import __version__

#: What is written above a stage in the list of all.
HEADINGS = {
    "doctor": "To begin",
    "explain": "A CT and its nodules",
    "manifest": "A model",
    "planted": "Which explanation to trust",
    "fetch-study": "A PACS",
}

#: A command line of each stage as it is most often wanted; short enough to stand in one line of a terminal.
EXAMPLES = {
    "doctor": "ctxai doctor",
    "demo": "ctxai demo --out demo-out",
    "phantom": "ctxai phantom ct --patients LIDC-IDRI-0515",
    "explain": "ctxai explain ct out --points points.csv",
    "report": "ctxai report out",
    "review": "ctxai review out",
    "manifest": "ctxai manifest tables",
    "ingest": "ctxai ingest path/to/LIDC-IDRI store --workers 8 --report",
    "verify": "ctxai verify --store store --dicom path/to/LIDC-IDRI",
    "pretrain": "ctxai pretrain store backbone --config pretrain.yaml",
    "train": "ctxai train store run --config lidc2d.yaml",
    "evaluate": "ctxai evaluate run store",
    "export-bundle": "ctxai export-bundle run bundle",
    "planted": "ctxai planted planted-store --trait spikes",
    "train-diffmask": "ctxai train-diffmask run store",
    "benchmark": "ctxai benchmark run store comparison",
    "fetch-study": "ctxai fetch-study 1.2.840.113619.2.55 ct --dimse PACS@pacs:104",
    "send": "ctxai send out --dicomweb http://pacs:8042/dicom-web",
    "watch": "ctxai watch spool --dimse PACS@pacs:104 --points points.csv",
}

#: Help that jsonargparse writes itself, in this program's words.
_REWORDED = {
    "Path to a configuration file.": "YAML file with the options of this group",
    "Print the configuration": "print all options as YAML, as --config takes them, and stop",
}


class StageHelp(DefaultHelpFormatter):
    """Options without Python's types, and a default where it says something."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        text = next((better for begin, better in _REWORDED.items() if text.startswith(begin)), text)
        default = _shown(action)
        return f"{text} (default: {default})" if default else text

    def _format_action_invocation(self, action: argparse.Action) -> str:
        return super()._format_action_invocation(action).replace(" \b", "")  # as on a terminal, so on paper


def _shown(action: argparse.Action) -> str:
    """An option's default as it would be given; empty where there is none, or a flag is off."""
    default = action.default
    if default in (None, [], argparse.SUPPRESS) or action.required or (isinstance(action, ActionYesNo) and not default):
        return ""
    if isinstance(default, bool):
        return "yes" if isinstance(action, ActionYesNo) else str(default).lower()
    if isinstance(default, tuple):
        return f"[{','.join(map(str, default))}]"
    return " ".join(map(str, default)) if isinstance(default, list) else str(default)


def print_help(stages: Mapping[str, str]) -> None:
    """All stages, under headings, and where to begin."""
    console = Console(highlight=False)
    console.print(f"ctxai {__version__}: lung-nodule assessment on CT that shows its evidence. Research use only.\n")
    console.print("usage: ctxai STAGE [--help] …", markup=False)
    for name, summary in stages.items():
        if name in HEADINGS:
            console.print(f"\n{HEADINGS[name]}")
        line = Table.grid(padding=(0, 2))
        line.add_column(width=max(map(len, stages)) + 2)
        line.add_row(f"  {name}", summary)
        console.print(line)
    console.print(
        f"\nA first overlay, on a CT that is drawn for you; then open out/report.html:\n"
        f"  {EXAMPLES['phantom']}\n"
        "  ctxai explain ct out\n"
        "Every stage has a --help with an example. There is no nodule detector: nodules come from LIDC-IDRI or your "
        "points."
    )
