"""How far the networks of an ensemble are apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd


def spread_over_members(tables: Sequence[pd.DataFrame], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Standard deviations (nodule,) of predictions over an ensemble's networks, by column; n - 1 in the denominator.

    ``<name>_spread`` of numbers and ratings in their units, ``<output>_probability_spread`` of probabilities under the
    ensemble's calibration. It tells what the choice of training patients changes, and is no interval.

    Args:
        tables: predictions of each network.
        names: columns of them.
    """
    return {f"{name}_spread": np.std([table[name] for table in tables], axis=0, ddof=1) for name in names}
