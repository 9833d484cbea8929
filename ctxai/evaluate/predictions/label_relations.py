"""How much the readers' labels of two targets go together: what class sensitivity has to be read beside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from ctxai.data.labels import column_of
from ctxai.data.targets import TargetTable


def label_correlations(
    table: pd.DataFrame, nodule_ids: np.ndarray, targets: Sequence[str], own: TargetTable | None = None
) -> pd.DataFrame:
    """Spearman's correlation of the first target's label with every further one's, on some nodules of a store.

    Columns ``target``, ``with``, ``n`` and ``spearman``, which is empty where a label does not vary. Of targets of
    one's own, the label of a class is whether it is the nodule's.
    """
    chosen = table.set_index(table["nodule_id"].astype(str)).loc[nodule_ids]
    rows = []
    for other in targets[1:]:
        both = (targets[0], other)
        if own is None:
            pair = chosen[[column_of(one) for one in both]].dropna().to_numpy(float)
        else:
            pair = np.stack([own.output_values(one, chosen) for one in both], axis=1).astype(float)
            pair = pair[~np.isnan(pair).any(axis=1)]
        varied = len(pair) > 2 and np.ptp(pair, axis=0).all()
        rank = float(spearmanr(pair[:, 0], pair[:, 1]).statistic) if varied else np.nan
        rows.append({"target": other, "with": targets[0], "n": len(pair), "spearman": rank})
    return pd.DataFrame(rows, columns=["target", "with", "n", "spearman"])
