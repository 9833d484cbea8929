"""A nodule in words and numbers: the content that the structured report and the PDF share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ctxai.export.outline import Outline
from ctxai.export.provenance import require_identifier

OVER_MODELS = "standard deviation over the models"
"""Name of an ensemble's spread, for people."""


@dataclass(frozen=True)
class Estimate:
    """One predicted quantity.

    Attributes:
        name: as LIDC-IDRI's ratings are called, or ``diameter``.
        value: on the readers' scale, or mm for the diameter.
        low: lower end of the 90 % interval; None where there is none.
        high: upper end.
        readers: the readers' mean; None where no reader saw the nodule.
        scale: the ends of the scale, for drawing; they may be infinite.
        ucum: unit by UCUM, of a target of one's own; empty for a rating and for the diameter.
        code: its DICOM concept: value, scheme designator, meaning; None for a private code of the name.
        spread: standard deviation over the models of an ensemble, in the unit of the value; None of a single model.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    readers: float | None = None
    scale: tuple[float, float] = (1.0, 5.0)
    ucum: str = ""
    code: tuple[str, str, str] | None = None
    spread: float | None = None

    @property
    def unit(self) -> str:
        """The unit or nothing, for people."""
        return self.ucum or ("mm" if self.name == "diameter" else "")


@dataclass(frozen=True)
class NamedValue:
    """One further number that a reader must see, such as how far a map can be trusted.

    Attributes:
        name: in words, at most 64 characters.
        value: the number.
        percent: whether it is a share, 0 to 1, that people read in per cent.
        answer: whether 1 is yes and 0 is no.
        low: lower end of the 90 % interval; None where there is none.
        high: upper end.
        code: its DICOM concept: value, scheme designator, meaning; None for a private code of the name.
        spread: standard deviation over the models of an ensemble, as the value; None of a single model.
    """

    name: str
    value: float
    percent: bool = False
    answer: bool = False
    low: float | None = None
    high: float | None = None
    code: tuple[str, str, str] | None = None
    spread: float | None = None

    @property
    def text(self) -> str:
        """The number for people, with its interval; a share is never 0 or 100 %, which no model can know."""
        text = self._written(self.value)
        if self.low is not None and self.high is not None:
            text += f" ({self._written(self.low)} to {self._written(self.high)})"
        if self.spread is not None:
            text += f", {OVER_MODELS} " + (f"{100 * self.spread:.1f} %" if self.percent else f"{self.spread:.2f}")
        return text

    def _written(self, value: float) -> str:
        if self.answer:
            return "yes" if value else "no"
        if not self.percent:
            return f"{value:.2f}".replace("-", "\u2212")
        if not 0.005 <= value <= 0.995:
            return "under 1 %" if value < 0.005 else "over 99 %"
        return f"{value:.0%}".replace("%", " %")


@dataclass(frozen=True)
class Doubt:
    """A reason for care.

    Attributes:
        consequence: what to do or not to do, at most 64 characters, such as ``Do not use the map``.
        reason: a sentence.
        grave: whether something is not to be used.
    """

    consequence: str
    reason: str
    grave: bool = True

    @property
    def text(self) -> str:
        """Both, for people."""
        return f"{self.consequence}: {self.reason}"


@dataclass(frozen=True, eq=False)
class NoduleSummary:
    """One nodule of a report.

    Attributes:
        nodule_id: as in all objects of the series.
        outline: where it is shown.
        estimates: what was predicted, the most important first; empty where only readers speak.
        figures: further numbers, in the order to show.
        ratings: each reader's ratings (1, 2, …) by LIDC-IDRI's names.
        volume_mm3: of its mask; None where nobody outlined it.
        diameter_mm: measured by readers or the user; None where nobody did.
        doubts: reasons for care; printed, and counted by consequence where only numbers fit.

    Raises:
        InputError: when the id cannot stand in a DICOM object.
    """

    nodule_id: str
    outline: Outline
    estimates: tuple[Estimate, ...] = ()
    figures: tuple[NamedValue, ...] = ()
    ratings: tuple[Mapping[str, int], ...] = field(default=())
    volume_mm3: float | None = None
    diameter_mm: float | None = None
    doubts: tuple[Doubt, ...] = ()

    def __post_init__(self) -> None:
        require_identifier(self.nodule_id)
