"""A nodule that a reader, a detector or a file has marked, and what the reader says of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ctxai.errors import InputError
from ctxai.results_folder import is_nodule_id, is_series_key

#: What a mark is: the reader's own, a proposal of a detector or a file, and what the reader made of it.
STATES = ("marked", "proposed", "accepted", "rejected")
#: What a reader may say of an answer.
VERDICTS = ("agree", "disagree", "map misleading")
#: Longest text that is kept with a verdict.
MAX_TEXT = 2000
_MOST_VALUES = 100
_FARTHEST_MM = 1e5


@dataclass(frozen=True)
class Mark:
    """A marked nodule.

    Attributes:
        series: key of its series.
        nodule_id: unique in its series.
        x: LPS mm, as y and z.
        state: out of :data:`STATES`.
        diameter_mm: where somebody measured it.
        score: a detector's.
        source: where it comes from: ``reader``, or the kind of file.

    Raises:
        InputError: for anything else.
    """

    series: str
    nodule_id: str
    x: float
    y: float
    z: float
    state: str = "marked"
    diameter_mm: float | None = None
    score: float | None = None
    source: str = "reader"

    def __post_init__(self) -> None:
        if not (is_series_key(str(self.series)) and is_nodule_id(str(self.nodule_id))):
            raise InputError("mark: expected the key of a series and a nodule_id of letters, digits and ._-")
        for value in self.lps:
            if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _FARTHEST_MM:
                raise InputError("mark: expected a position of three finite numbers, LPS mm")
        if self.state not in STATES:
            raise InputError(f"mark: expected a state out of {', '.join(STATES)}")
        for name in ("diameter_mm", "score"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int | float) or not math.isfinite(value)):
                raise InputError(f"mark: expected {name} as a finite number or none")

    @property
    def lps(self) -> tuple[float, float, float]:
        """LPS mm."""
        return self.x, self.y, self.z

    @property
    def key(self) -> tuple[str, str]:
        """Names the mark in a session."""
        return self.series, self.nodule_id

    def to_json(self) -> dict[str, Any]:
        """The mark as it is kept and sent."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Mark:
        """The mark that :meth:`to_json` gave.

        Raises:
            InputError: for anything else.
        """
        try:
            return cls(**content)
        except TypeError:
            raise InputError("mark: expected the fields of a marked nodule") from None


@dataclass(frozen=True)
class Verdict:
    """A reader's verdict on the answer about a nodule.

    Attributes:
        series: key of the series.
        nodule_id: the nodule.
        verdict: out of :data:`VERDICTS`; empty where only a rating is given.
        rating: the reader's own malignancy rating, 1 to 5; None where not given.
        text: anything.
        map_shown: whether the map was on the screen before the verdict.
        method: of the map; empty where none was shown.
        target: what the verdict is about.
        values: what the reader would answer for other targets, by name: a number, or the name of a class.

    Raises:
        InputError: for anything else, or a verdict that says nothing.
    """

    series: str
    nodule_id: str
    verdict: str = ""
    rating: int | None = None
    text: str = ""
    map_shown: bool = False
    method: str = ""
    target: str = ""
    values: Mapping[str, float | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (is_series_key(str(self.series)) and is_nodule_id(str(self.nodule_id))):
            raise InputError("verdict: expected the key of a series and a nodule_id")
        if self.verdict not in ("", *VERDICTS):
            raise InputError(f"verdict: expected one of {', '.join(VERDICTS)}")
        if self.verdict == VERDICTS[2] and self.map_shown is not True:
            raise InputError("verdict: a map that was not shown cannot mislead")
        if self.rating is not None and (type(self.rating) is not int or not 1 <= self.rating <= 5):
            raise InputError("verdict: expected a rating of 1 to 5")
        texts = (self.text, self.method, self.target)
        if not all(isinstance(one, str) and len(one) <= MAX_TEXT for one in texts):
            raise InputError(f"verdict: expected a text of at most {MAX_TEXT} characters")
        if not isinstance(self.map_shown, bool):
            raise InputError("verdict: expected map_shown as true or false")
        if not _are_values(self.values):
            raise InputError("verdict: expected values as finite numbers or names of classes by target")
        if not (self.verdict or self.rating or self.text.strip() or self.values):
            raise InputError("verdict: expected agree, disagree or map misleading, a rating, a value, or a text")

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Verdict:
        """The verdict of these fields.

        Raises:
            InputError: for anything else.
        """
        try:
            return cls(**content)
        except TypeError:
            raise InputError("verdict: expected the fields of a verdict") from None


def _are_values(values: Any) -> bool:
    if not isinstance(values, dict) or len(values) > _MOST_VALUES:
        return False
    texts = [*values, *(one for one in values.values() if isinstance(one, str))]
    numbers = [one for one in values.values() if not isinstance(one, str)]
    return all(isinstance(one, str) and len(one) <= MAX_TEXT for one in texts) and all(
        isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) for one in numbers
    )
