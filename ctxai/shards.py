"""``--shard i/n``: one of n equal parts of a stage's work."""

from __future__ import annotations

from ctxai.errors import InputError


def parse_shard(text: str) -> tuple[int, int]:
    """Index and count of ``"i/n"``, with 0 <= i < n.

    Raises:
        InputError: when ``text`` has another form.
    """
    index, slash, count = text.partition("/")
    if not (slash and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise InputError(f"--shard {text}: expected i/n with 0 <= i < n, for example 0/4")
    return int(index), int(count)
