"""Completion of stages, options and paths in a shell."""

from __future__ import annotations

import shtab
from jsonargparse import ArgumentParser

from ctxai.cli import STAGES, stage_parser
from ctxai.errors import InputError
from ctxai.suggestions import did_you_mean


def completion_script(shell: str) -> str:
    """What a shell has to read so that it completes ``ctxai``.

    Args:
        shell: one that shtab knows: bash, zsh, fish, …

    Raises:
        InputError: for another shell.
    """
    if shell not in shtab.SUPPORTED_SHELLS:
        known = shtab.SUPPORTED_SHELLS
        raise InputError(f"--print_completion {shell}: expected one of {', '.join(known)}{did_you_mean(shell, known)}")
    parser = ArgumentParser(prog="ctxai")
    stages = parser.add_subcommands(required=True, dest="stage")
    for name, summary in STAGES.items():
        stages.add_subcommand(name, stage_parser(name), help=summary)
    return parser.get_completion_script(f"shtab-{shell}")
