"""How fast the probability rises when the most important pixels come."""

from __future__ import annotations

from types import MappingProxyType

from ctxai.evaluate.metrics.faithfulness.removal_curve import RemovalCurve


class Insertion(RemovalCurve):
    """RISE's insertion: a filled image gets its pixels back, the most important ones first.

    What is still missing are the least important ones, so that the curve is that of their removal, run backwards.

    Args:
        fill, steps: as :class:`RemovalCurve`.
    """

    name = "insertion"
    higher_is_better = True
    order = "LeRF"
    published = MappingProxyType({"fill": "blur_rise", "steps": 224})
