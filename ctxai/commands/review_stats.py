"""``ctxai review-stats``: how often readers agreed with the model, with and without its map."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ctxai.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


def review_stats(
    session: Path,
    /,
    *,
    others: list[Path] = [],  # noqa: B006
    out: Path | None = None,
    seed: int = 0,
) -> None:
    """Say how often readers agreed with the model, with and without its map.

    Reads review.csv of sessions of `ctxai open`. Of one reader and nodule the last verdict counts, once without the map
    and once with it; differences are of those who judged both ways. Intervals are 95 %, from a bootstrap over patients,
    and missing for a single patient. Agreement is not truth: a reader may agree with a model that is wrong.

    Args:
        session: a folder of `ctxai open --out`.
        others: further ones, such as those of other readers.
        out: CSV file for the figures, besides the printed table.
        seed: of the bootstrap.
    """
    import pandas as pd

    from ctxai.evaluate.verdicts import agreement
    from ctxai.files import write_text
    from ctxai.folder_kinds import refuse_other_table

    figures = agreement(pd.concat([_read(folder) for folder in (session, *others)], ignore_index=True), seed)
    if out is not None:
        written = pd.DataFrame(figures).T.rename_axis("figure")
        refuse_other_table(out, ["figure", *written.columns])
        write_text(out, written.to_csv(lineterminator="\n"))
    table = Table("", "verdicts", "patients", "mean", "95 % interval", box=SIMPLE_HEAD)
    for name, figure in figures.items():
        low, high = figure["low"], figure["high"]
        interval = "–" if low is None else f"{low:.2f} to {high:.2f}"
        table.add_row(name, str(figure["n"]), str(figure["patients"]), _shown(figure["value"]), interval)
    Console().print(table)


def _read(session: Path) -> pd.DataFrame:
    """Verdicts of a session.

    Raises:
        InputError: when there are none, or the file is no review.csv.
    """
    import pandas as pd

    from ctxai.evaluate.verdicts import COLUMNS, MODEL, READER, number_targets
    from ctxai.open.session import REVIEW

    path = session / REVIEW
    if not path.is_file():
        raise InputError(f"{session}: no {REVIEW}; give a folder of `ctxai open --out`")
    try:
        found = pd.read_csv(path, dtype={"reader": str, "patient": str, "series_uid": str, "nodule_id": str})
        of_targets = [f"{side}{target}" for target in number_targets(found) for side in (READER, MODEL)]
        numbers = {name: pd.to_numeric(found[name]) for name in ("rating", "malignancy", *of_targets)}
        shown = found["map_shown"].astype(str).map({"True": True, "False": False})
    except (ValueError, KeyError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a {REVIEW} of `ctxai open` ({type(error).__name__})") from None
    missing = [name for name in COLUMNS if name not in found]
    if missing or shown.isna().any():
        raise InputError(f"{path}: expected {', '.join(COLUMNS)}, map_shown as True or False")
    if found.empty:
        raise InputError(f"{path}: no verdict yet")
    found = found.assign(**numbers, map_shown=shown.astype(bool))
    return found.assign(reader=found["reader"].fillna("").where(found["reader"].notna(), str(session)))


def _shown(value: Any) -> str:
    return "–" if value is None else f"{value:.2f}"
