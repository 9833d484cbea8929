"""How fast the probability falls when the most important pixels go."""

from __future__ import annotations

from types import MappingProxyType

from ctxai.evaluate.metrics.faithfulness.removal_curve import RemovalCurve


class Deletion(RemovalCurve):
    """RISE's deletion: the most important pixels are removed first.

    Low also where the model answers "no" to any damaged image; compare with a random map's.

    Args:
        fill, steps: as :class:`RemovalCurve`.
    """

    name = "deletion"
    higher_is_better = False
    order = "MoRF"
    published = MappingProxyType({"fill": "zero", "steps": 224})
