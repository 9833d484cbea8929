"""Checks of predictions and maps, in words, from the columns of predictions.csv."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

#: A map passes ahead of all 20 random maps of the same nodule (an exact permutation test, p = 0.045); percentiles have
#: steps of 2.5.
FIDELITY_PERCENTILE_NEEDED = 97.5
#: Rank correlation of the map with itself under noise, a moved mark or another kernel, below which it is theirs as much
#: as the nodule's.
STABILITY_NEEDED = 0.5
#: Beyond this percentile of the training nodules' own distances a nodule is unlike what the model knows.
NOVELTY_PERCENTILE_ALLOWED = 95.0
#: Below this share of nodule near the mark there is none: 3 of 436 nodules of the validation and test folds.
NODULE_AT_MARK_NEEDED = 0.7
#: Below this roundness the mark is on a vessel or a wall.
ROUNDNESS_NEEDED = 0.1
#: From this share of nodule on the border of the images on, a part of it is cut off: of a mass of this diameter because
#: it is as large as they are, of a smaller nodule because it lies aside.
AT_BORDER_ALLOWED, LARGE_MM = 0.3, 25.0
#: From this distance on between the outline's middle and the centre of the images, which were moved towards it, the
#: mark lies farther aside than a run makes up for: 63 % of 141 calibration nodules of 20 mm or more marked 10 mm aside,
#: and 3 % of 300 smaller ones marked 5 mm aside.
OFF_CENTRE_ALLOWED_MM = 2.0


@dataclass(frozen=True)
class Figure:
    """One figure of a map.

    Attributes:
        name: its heading.
        value: as it is shown.
        meaning: its meaning, in a sentence.
        doubt: why it speaks against believing the map; empty where it does not.
    """

    name: str
    value: str
    meaning: str
    doubt: str = ""


@dataclass(frozen=True)
class MapTrust:
    """Results of the checks of a map.

    Attributes:
        figures: those that predictions.csv has.
    """

    figures: tuple[Figure, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Reasons not to believe the map; empty when no check failed."""
        return tuple(figure.doubt for figure in self.figures if figure.doubt)


def map_trust(row: Mapping[str, Any], column: str) -> MapTrust:
    """Judge a map.

    Args:
        row: the nodule's line of predictions.csv.
        column: what its columns begin with, ``<method>_<target>``.
    """
    figures = []
    inside, chance = row.get(f"{column}_inside"), row.get(f"{column}_inside_by_chance")
    if inside is not None and chance is not None:
        seen = row.get("outline_by_readers") is False
        outline = "the outline that the model itself sees" if seen else "the readers' outline"
        meaning = f"share of the evidence for the target that lies inside {outline}; by chance in brackets"
        doubt = f"{inside:.0%} of its evidence lies inside the nodule, by chance {chance:.0%} would"
        figures.append(
            Figure("inside the nodule", f"{inside:.0%} ({chance:.0%})", meaning, doubt if inside <= chance else "")
        )
    fidelity = row.get(f"{column}_fidelity")
    if fidelity is not None:
        meaning = (
            "how much further the answer falls when what the map marks most is replaced by lung first than when what "
            "it marks least is, in the model's own unit; 0 for a map that knows nothing"
        )
        figures.append(Figure("fidelity", f"{fidelity:.2f}".replace("-", "−"), meaning))
    percentile = row.get(f"{column}_fidelity_percentile")
    if percentile is not None:
        meaning = "share of random maps on the same nodule whose fidelity is lower; 50% is chance"
        doubt = f"its fidelity is above that of {percentile:.0f}% of random maps; needed are all"
        failed = percentile < FIDELITY_PERCENTILE_NEEDED
        figures.append(Figure("beats random maps", f"{percentile:.0f}%", meaning, doubt if failed else ""))
    blurred = row.get(f"{column}_fidelity_percentile_blur")
    if blurred is not None:
        meaning = "the same with blurred tissue in the place of what is removed"
        doubt = f"with parts blurred instead of removed, its fidelity is above that of {blurred:.0f}%; needed are all"
        failed = blurred < FIDELITY_PERCENTILE_NEEDED
        figures.append(Figure("beats random maps, blurred", f"{blurred:.0f}%", meaning, doubt if failed else ""))
    stability = row.get(f"{column}_stability")
    if stability is not None:
        meaning = (
            "lowest rank correlation with the map under noise of 20 HU, about a mark 2 mm aside, and under another "
            "reconstruction kernel; 1 is unchanged"
        )
        doubt = f"noise, a mark 2 mm aside or another kernel changes it (stability {stability:.2f})"
        failed = stability < STABILITY_NEEDED
        figures.append(Figure("stability", f"{stability:.2f}".replace("-", "−"), meaning, doubt if failed else ""))
    sane = row.get(f"{column}_sanity")
    if sane is not None:
        meaning = "whether the same model with shuffled weights gives another map, as it should"
        doubt = "the model with shuffled weights gives much the same map"
        figures.append(Figure("depends on the model", "yes" if sane else "no", meaning, "" if sane else doubt))
    return MapTrust(tuple(figures))


class Level(StrEnum):
    """Consequence of a warning."""

    NUMBER = "Do not use the number"
    MAP = "Do not use the map"
    NOTE = "Good to know"


@dataclass(frozen=True)
class PredictionWarning:
    """A warning about a prediction or its maps.

    Attributes:
        level: its consequence.
        text: the reason, a sentence.
    """

    level: Level
    text: str


def warnings_of(row: Mapping[str, Any]) -> list[PredictionWarning]:
    """Warnings about the numbers of a nodule and about all of its maps, the gravest first."""
    warnings = [PredictionWarning(Level.NUMBER, text) for text in _doubts_of_the_mark(row)]
    novelty = row.get("novelty_percentile")
    if novelty is not None and novelty > NOVELTY_PERCENTILE_ALLOWED:
        text = (
            f"The nodule is unlike the training nodules: further from them than {novelty:.0f} % of their own. Does it "
            "lie in the middle of the images?"
        )
        warnings.append(PredictionWarning(Level.NUMBER, text))
    views = row.get("untrained_views")
    if views:
        warnings.append(
            PredictionWarning(Level.MAP, f"The model was not trained on these views, which the maps use: {views}.")
        )
    if _cut_off(row) and not is_off_centre(row):
        text = "The nodule reaches the edge of what the model sees; it knows nothing of the part beyond."
        warnings.append(PredictionWarning(Level.NOTE, text))
    if row.get("in_sample"):
        text = "The patient was seen in training: the prediction is better than on new patients."
        warnings.append(PredictionWarning(Level.NOTE, text))
    return warnings


def _doubts_of_the_mark(row: Mapping[str, Any]) -> Iterator[str]:
    at_mark, round_ = row.get("nodule_at_mark"), row.get("roundness")
    if at_mark is not None and at_mark < NODULE_AT_MARK_NEEDED:
        yield "The model sees no nodule at the mark. Is it in the right place, and in this series?"
    if round_ is not None and round_ < ROUNDNESS_NEEDED:
        yield (
            "The tissue at the mark is not round in three dimensions: a vessel, the heart or the chest wall rather "
            "than a nodule."
        )
    if is_off_centre(row):
        yield (
            "The images do not show the nodule in their middle and may cut off a part of it. Mark the middle of the "
            "nodule again."
        )


def is_off_centre(row: Mapping[str, Any]) -> bool:
    """Whether the images, which follow an inexact mark some way, still do not show the nodule in their middle."""
    distance = row.get("outline_off_centre_mm")
    if distance is not None and distance >= OFF_CENTRE_ALLOWED_MM:
        return True
    return _cut_off(row) and not _fills_the_images(row)


def _cut_off(row: Mapping[str, Any]) -> bool:
    border = row.get("outline_at_border")
    return border is not None and border >= AT_BORDER_ALLOWED


def _fills_the_images(row: Mapping[str, Any]) -> bool:
    return (row.get("diameter") or 0) >= LARGE_MM
