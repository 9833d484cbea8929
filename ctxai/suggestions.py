"""The known name that somebody meant who wrote another."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_ALIKE = 0.65


def did_you_mean(found: str, known: Iterable[str]) -> str:
    """End of an error's line: ``; did you mean NAME?``, empty where no known name is near.

    Capitals, hyphens, underscores and .yaml do not count, and a beginning stands for the whole. Several names in one,
    with commas between, are told to be given one by one.
    """
    names = {_plain(name): name for name in known}
    if "," in found and all(_plain(part) in names for part in found.split(",")):
        return f"; give several with spaces between: {' '.join(names[_plain(part)] for part in found.split(','))}"
    plain = _plain(found)
    near = difflib.get_close_matches(plain, names, n=1, cutoff=_ALIKE)
    begun = [name for name in names if len(plain) > 1 and name.startswith(plain)]
    meant = near or begun[:1]
    return f"; did you mean {names[meant[0]]}?" if meant else ""


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "-").removeprefix("--").removesuffix(".yaml")
