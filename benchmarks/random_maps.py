"""A nodule's default map among many random maps, and how far each fill lowers the answer: can the check judge it?

    python benchmarks/random_maps.py CT_FOLDER [--maps 400]

CT_FOLDER holds LIDC-IDRI-0001. Malignancy. `p` is the share of random maps, each with both signs, of at least the map's
fidelity; `p_20` the same among the 20 of `ctxai explain`. `removed` is the output (a logit) with every pixel replaced,
`whole` with none.

Writes results/random_maps.csv.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import ctxai
from ctxai.ct.patch import extract_patch
from ctxai.evaluate.explanations.batch import ExplanationBatch
from ctxai.evaluate.map_quality import FIDELITY, FIDELITY_BLUR, RANDOM_GRID, RANDOM_MAPS
from ctxai.files import write_text
from ctxai.inference.nodules import candidates_of
from ctxai.run.explanation import explain_patch
from ctxai.run.methods import make_method
from ctxai.run.run import Run

RESULTS = Path(__file__).parent / "results" / "random_maps.csv"
TARGET = "malignancy"


def main() -> None:
    """Score the maps and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ct", type=Path)
    parser.add_argument("--maps", type=int, default=400)
    given = parser.parse_args()
    torch.set_num_threads(1)
    run, ct = Run.open(device="cpu"), ctxai.open_series(given.ct)
    (nodule,) = candidates_of(ct, None)
    moved = run.recentre(extract_patch(ct, nodule.centre_lps).hu[None])[0].double().numpy()
    hu = extract_patch(ct, nodule.centre_lps + moved[::-1]).hu
    images = explain_patch(run, hu, [], [TARGET], run.views.views).images
    index = list(run.target_names).index(TARGET)

    def batch(maps: torch.Tensor) -> ExplanationBatch:
        copies = images.repeat(len(maps) // len(images), 1, 1, 1)
        return ExplanationBatch(copies, maps, run.model, target=index, views=run.views)

    few, many = (_random(count * len(images), seed) for count, seed in ((RANDOM_MAPS, 0), (given.maps, 1)))
    rows = []
    for metric in (FIDELITY, FIDELITY_BLUR):
        chance, chance_20 = (_both_signs(metric.score(batch(maps)), len(images)) for maps in (many, few))
        for name in run.default_methods:
            own = batch(make_method(run, name).attribute(images, index))
            fidelity, curve = float(metric.score(own).mean()), metric.curves(own)[0].mean(dim=0)
            p, p_20 = (float((values >= fidelity).mean()) for values in (chance, chance_20))
            row = {"method": name, "fill": metric.fill, "fidelity": fidelity, "p": p, "p_20": p_20}
            rows.append(row | {"maps": len(chance), "whole": float(curve[0]), "removed": float(curve[-1])})
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    write_text(RESULTS, table.to_csv(index=False, lineterminator="\n", float_format="%.4f"))


def _random(count: int, seed: int) -> torch.Tensor:
    return torch.rand(count, *RANDOM_GRID, generator=torch.Generator().manual_seed(seed))


def _both_signs(scores: np.ndarray, images: int) -> np.ndarray:
    """Mean scores of the random maps of a nodule, and of their opposites."""
    means = scores.reshape(-1, images).mean(axis=1)
    return np.concatenate([means, -means])


if __name__ == "__main__":
    main()
