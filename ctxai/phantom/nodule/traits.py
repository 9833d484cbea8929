"""From the readers' ratings of a nodule to how it is drawn.

Every quantity is a monotone function of the mean rating, and each trait has a quantity of its own:

| rating | drawn as | from .. to |
|---|---|---|
| texture 1..5 | share of the nodule that is solid; the rest is ground glass | 0 .. 1 |
| margin 1..5 | width over which the edge fades, in radii (of 6 mm at most) | 1.2 .. 0 |
| spiculation 1..5 | number and length of spikes beyond the outline | none .. 30 spikes |
| lobulation 1..5 | depth of the notches between lobes, in radii (3.5 to 10 mm) | 0 .. 0.65 |
| calcification 6..3 | share of the nodule's volume that is calcified | 0 .. 0.9 |
| subtlety 1..5 | haze about the nodule (1 .. 0), and its contrast (0.75 .. 1) | |

The pattern of a calcification (solid, central, laminated, popcorn, not central) and an unusual content (fluid, fat,
air) are the most frequent ones among the readers. Size and sphericity come from the outlines; malignancy is not drawn.
Ratings outside their scale are left out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ctxai.errors import InputError
from ctxai.lidc.database import Nodule
from ctxai.suggestions import did_you_mean

_SCALE = {"calcification": (1, 6), "internalStructure": (1, 4)}
#: What is drawn where no reader gave a rating within its scale, and for the traits that are held still.
TYPICAL = {"texture": 5.0, "margin": 4.0, "spiculation": 1.0, "lobulation": 1.0, "calcification": 6.0, "subtlety": 4.0}
#: Traits drawn from the ratings.
TRAITS = tuple(TYPICAL)
_PATTERN = {1: "popcorn", 2: "laminated", 3: "solid", 4: "not central", 5: "central"}
_SOLID = (0, 0.12, 0.38, 0.7, 1)
_WIDEST_FADE, _DEEPEST_NOTCH, _MOST_CALCIFIED = 1.2, 0.65, 0.9
_CONTENT = {1: "soft", 2: "fluid", 3: "fat", 4: "air"}


@dataclass(frozen=True)
class Appearance:
    """How one nodule is drawn; shares are 0..1.

    Attributes:
        solid: share of the volume that is solid rather than ground glass.
        fade: width of the edge in radii, of 6 mm at most.
        spikes: 0 without spikes, 1 with as many and as long ones as there can be.
        notch: depth of the notches between lobes in radii, of 3.5 to 10 mm.
        calcified: share of the volume that is calcified.
        pattern: of the calcification.
        content: soft, fluid, fat or air.
        contrast: of the nodule against the lung, 1 in full.
        clutter: haze and strands about the nodule, 0 none.
    """

    solid: float
    fade: float
    spikes: float
    notch: float
    calcified: float
    pattern: str
    content: str
    contrast: float
    clutter: float


#: A round, solid, quite sharp nodule without spikes, notches or calcification.
TYPICAL_LOOK = Appearance(1.0, 0.3, 0.0, 0.0, 0.0, "solid", "soft", 0.9375, 0.25)


def check_trait(planted: str | None) -> None:
    """Refuse a trait that is not drawn; None stands for all of them.

    Raises:
        InputError: when ``planted`` is not among :data:`TRAITS`.
    """
    if planted is not None and planted not in TRAITS:
        meant = did_you_mean(planted, TRAITS)
        raise InputError(f"{planted}: not a trait that the phantom draws; choose one of {', '.join(TRAITS)}{meant}")


def appearance(nodule: Nodule, planted: str | None = None) -> Appearance:
    """How ``nodule`` is drawn.

    Args:
        nodule: its readings.
        planted: draw this trait alone from the ratings, and every other one as a typical nodule has it.

    Raises:
        InputError: when ``planted`` is not among :data:`TRAITS`.
    """
    check_trait(planted)
    mean = {name: _mean(nodule, name) if planted in (None, name) else TYPICAL[name] for name in TRAITS}
    calcium = [rating for rating in nodule.ratings("calcification") if rating in _PATTERN]
    content = Counter(rating for rating in nodule.ratings("internalStructure") if rating in _CONTENT)
    return Appearance(
        solid=float(np.interp(mean["texture"], (1, 2, 3, 4, 5), _SOLID)),
        fade=_WIDEST_FADE * (5 - mean["margin"]) / 4,
        spikes=(mean["spiculation"] - 1) / 4,
        notch=_DEEPEST_NOTCH * (mean["lobulation"] - 1) / 4,
        calcified=_MOST_CALCIFIED * float(np.clip((6 - mean["calcification"]) / 3, 0, 1)),
        pattern=_PATTERN[Counter(calcium).most_common(1)[0][0]] if calcium else "solid",
        content=_CONTENT[content.most_common(1)[0][0]] if content and planted is None else "soft",
        contrast=float(np.interp(mean["subtlety"], (1, 5), (0.75, 1))),
        clutter=(5 - mean["subtlety"]) / 4,
    )


def ratings_of(look: Appearance) -> dict[str, float]:
    """The mean ratings that :func:`appearance` would draw so, by trait."""
    return {
        "texture": float(np.interp(look.solid, _SOLID, (1, 2, 3, 4, 5))),
        "margin": 5 - 4 * look.fade / _WIDEST_FADE,
        "spiculation": 1 + 4 * look.spikes,
        "lobulation": 1 + 4 * look.notch / _DEEPEST_NOTCH,
        "calcification": 6 - 3 * look.calcified / _MOST_CALCIFIED,
        "subtlety": 5 - 4 * look.clutter,
    }


def _mean(nodule: Nodule, name: str) -> float:
    low, high = _SCALE.get(name, (1, 5))
    ratings = [rating for rating in nodule.ratings(name) if low <= rating <= high]
    return float(np.mean(ratings)) if ratings else TYPICAL[name]
