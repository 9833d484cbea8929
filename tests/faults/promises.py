"""What ctxai promises to do about a fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from faults.inputs import Inputs


class Promise(StrEnum):
    """What ctxai does with a fault."""

    READ = "read as it is"
    REPAIRED = "repaired or left out, and reported"
    REFUSED = "refused in one line"


READ, REPAIRED, REFUSED = Promise.READ, Promise.REPAIRED, Promise.REFUSED


@dataclass(frozen=True)
class Case:
    """A fault and what is promised.

    Attributes:
        damage: breaks the inputs.
        promises: by stage, the promise and words of the message or of the report.
        alone: runs in a process of its own, whose memory is measured.
    """

    damage: Callable[[Inputs], None]
    promises: dict[str, tuple[Promise, str]]
    alone: bool = False

    @property
    def name(self) -> str:
        return self.damage.__name__.replace("_", " ")


class Faults(list[Case]):
    """The faults of one part of the inputs, in the order of the table."""

    def case(self, alone: bool = False, **promises: tuple[Promise, str]) -> Callable:
        """Put a fault into the table."""

        def register(damage: Callable[[Inputs], None]) -> Callable[[Inputs], None]:
            self.append(Case(damage, promises, alone))
            return damage

        return register


def image(words: str, explain: str = "missing slice") -> dict[str, tuple[Promise, str]]:
    """One image of the middle is bad: ingestion bridges the gap that it leaves, overlays need every slice."""
    return {"ingest": (REPAIRED, words), "explain": (REFUSED, explain)}


def whole(words: str) -> dict[str, tuple[Promise, str]]:
    """The series is refused by both stages."""
    return {"ingest": (REFUSED, words), "explain": (REFUSED, words)}
