"""Targets of a run, as a table with kind, column, range, unit and coded concept of each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import yaml

from ctxai.data.plain_options import build_options, plain_options
from ctxai.errors import InputError, StoreError, one_line
from ctxai.suggestions import did_you_mean

Kind = Literal["binary", "ordinal", "regression", "multiclass"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
_TAKEN = {"x", "y", "z", "series", "nodule_id", "diameter_mm", "n_readers", "in_sample", "run", "notice", "roundness"}
_SHOWN = 6


@dataclass(frozen=True)
class Target:
    """One target.

    Args:
        name: in tables, files and options: small letters, digits and underscores.
        kind: binary, ordinal (a scale with cut-offs), regression or multiclass.
        column: of the store's table; the name when empty.
        low: lowest value; None for no limit.
        high: highest value.
        unit: UCUM unit, such as mm or d; empty for a number without one.
        cut_offs: of an ordinal target, rising, between the levels of its scale.
        classes: labels of a multiclass target as the column has them; of a binary one, negative and positive, where
            the column has texts instead of 0 and 1.
        code: the DICOM concept: value, scheme designator, meaning. Without one, a private code is made of the name.

    Raises:
        InputError: for a target that is not whole.
    """

    name: str
    kind: Kind = "regression"
    column: str = ""
    low: float | None = None
    high: float | None = None
    unit: str = ""
    cut_offs: tuple[float, ...] = ()
    classes: tuple[str, ...] = ()
    code: tuple[str, str, str] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "column", self.column or self.name)
        if not _NAME.fullmatch(self.name) or self.name in _TAKEN:
            raise InputError(
                f"targets: {self.name!r} cannot name a target; expected small letters, digits, underscores, and none "
                f"of {', '.join(sorted(_TAKEN))}"
            )
        if fault := self._fault():
            raise InputError(f"target {self.name}, {self.kind}: {fault}")

    def _fault(self) -> str:
        low, high = self.limits
        if not low < high:
            return f"expected low below high, found {low:g} and {high:g}"
        if self.kind == "ordinal":
            ends = (low, *self.cut_offs, high)
            if not self.cut_offs or self.low is None or self.high is None or any(a >= b for a, b in pairwise(ends)):
                return f"expected low < cut_offs < high, rising, found {', '.join(f'{end:g}' for end in ends)}"
        elif self.cut_offs:
            return "cut_offs are an ordinal target's"
        if self.kind in ("binary", "multiclass"):
            count = len(self.classes)
            if count != 2 and (self.kind == "multiclass" or count) and not (self.kind == "multiclass" and count > 2):
                return f"expected {'two' if self.kind == 'binary' else 'two or more'} classes, found {count}"
            slugs = [_slug(name) for name in self.classes]
            if len(set(slugs)) < count or not all(slugs):
                return f"classes {', '.join(self.classes)} differ in nothing but signs, or have no letter or digit"
        elif self.classes:
            return "classes are a binary or multiclass target's"
        return ""

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest value; infinite where there is no limit."""
        return (-np.inf if self.low is None else self.low, np.inf if self.high is None else self.high)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the model's outputs: the target's own, or one for each class."""
        if self.kind != "multiclass":
            return (self.name,)
        return tuple(f"{self.name}_{_slug(one)}" for one in self.classes)

    @property
    def levels(self) -> tuple[float, ...]:
        """Values of an ordinal scale: its ends, and the middles between neighbouring cut-offs."""
        assert self.low is not None and self.high is not None
        return (self.low, *((a + b) / 2 for a, b in pairwise(self.cut_offs)), self.high)

    def values(self, labels: pd.Series) -> np.ndarray:
        """Labels as numbers, float32 (nodule,), NaN where there is none; of classes, their place.

        Raises:
            StoreError: for a label that is no class, no number, or out of range.
        """
        if self.classes:
            texts = [None if pd.isna(one) else _text(one) for one in labels]
            unknown = sorted({text for text in texts if text is not None and text not in self.classes})
            if unknown:
                raise self._refused(", ".join(self.classes), ", ".join(unknown[:_SHOWN]))
            return np.array([np.nan if t is None else self.classes.index(t) for t in texts], np.float32)
        numbers = pd.to_numeric(labels, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        low, high = (0.0, 1.0) if self.kind == "binary" else self.limits
        wrong = labels.notna().to_numpy() & ~((numbers >= low) & (numbers <= high))
        if self.kind == "binary":
            wrong |= ~np.isnan(numbers) & ~np.isin(numbers, (0, 1))
        if wrong.any():
            expected = "0 or 1" if self.kind == "binary" else f"numbers from {low:g} to {high:g}"
            raise self._refused(expected, str(labels[wrong].iloc[0]))
        return numbers.astype(np.float32)

    def _refused(self, expected: str, found: str) -> StoreError:
        return StoreError(f"target {self.name}: column {self.column} holds {found}; expected {expected}")


@dataclass(frozen=True)
class TargetTable:
    """The targets of a run, in the order of its outputs.

    Raises:
        InputError: for none, or for two outputs of one name.
    """

    targets: tuple[Target, ...]

    def __post_init__(self) -> None:
        names = [*self.outputs, *(one.name for one in self.targets if one.kind == "multiclass")]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice or not names:
            raise InputError(f"targets: {f'{twice[0]} is there twice' if twice else 'none is given'}")

    def __iter__(self) -> Iterator[Target]:
        return iter(self.targets)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, name: str) -> Target:
        return next(one for one in self.targets if one.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the targets."""
        return tuple(one.name for one in self.targets)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the model's outputs."""
        return tuple(name for one in self.targets for name in one.outputs)

    @property
    def value_columns(self) -> tuple[str, ...]:
        """Columns of predictions.csv with the predicted numbers, and the probabilities of classes."""
        shares = ("binary", "multiclass")
        return tuple(
            f"{name}_probability" if one.kind in shares else name for one in self.targets for name in one.outputs
        )

    @property
    def slices(self) -> dict[str, slice]:
        """Which outputs are each target's."""
        ends = np.cumsum([len(one.outputs) for one in self.targets])
        return {
            one.name: slice(int(end) - len(one.outputs), int(end)) for one, end in zip(self.targets, ends, strict=True)
        }

    def owner(self, output: str) -> Target | None:
        """The target of an output; None where there is no such output."""
        return next((one for one in self.targets if output in one.outputs), None)

    def values(self, table: pd.DataFrame) -> np.ndarray:
        """Labels of a store's rows, float32 (nodule, target), NaN where unknown; see `Target.values`."""
        return np.stack([one.values(table[one.column]) for one in self.targets], axis=1)

    def output_values(self, output: str, table: pd.DataFrame) -> np.ndarray:
        """Labels for one output, float32 (nodule,): of a class, 1 where it is the label and 0 elsewhere.

        Raises:
            KeyError: when there is no such output.
        """
        target = self.owner(output)
        if target is None:
            raise KeyError(output)
        values = target.values(table[target.column])
        if target.kind != "multiclass":
            return values
        return np.where(np.isnan(values), np.nan, values == target.outputs.index(output)).astype(np.float32)


def _rating(name: str, high: float = 5.0) -> Target:
    return Target(name, "regression", f"{name}_mean", 1.0, high)


LIDC = TargetTable(
    (
        Target("malignancy", "ordinal", "malignancy_mean", 1.0, 5.0, cut_offs=(1.5, 2.5, 3.5, 4.5)),
        _rating("subtlety"),
        _rating("calcification", 6.0),
        _rating("margin"),
        _rating("lobulation"),
        _rating("spiculation"),
        Target("diameter", "regression", "diameter_mm", 0.0, unit="mm"),
        _rating("texture"),
        _rating("sphericity"),
    )
)
"""LIDC-IDRI's ratings: malignancy, and eight biomarkers."""


def read_targets(given: Sequence[str]) -> tuple[str, ...] | tuple[Target, ...]:
    """Targets as they are asked for: names of LIDC-IDRI's, or a table of one's own.

    Args:
        given: names; or YAML files that hold a list of targets, each a mapping of `Target`'s fields; or such mappings
            themselves as JSON.

    Raises:
        InputError: for anything else, or for both together.
    """
    found: list[Any] = []
    for text in given:
        if text.endswith((".yaml", ".yml")):
            found += _from_yaml(Path(text))
        else:
            found.append(_from_json(text) if text.startswith("{") else text)
    own = [one for one in found if isinstance(one, dict)]
    if not own:
        return in_order([str(one) for one in found])
    if len(own) < len(found):
        raise InputError("targets: give names of LIDC-IDRI's ratings, or a table of your own, not both")
    targets = []
    for one in own:
        try:
            targets.append(build_options(Target, one))
        except TypeError as error:
            raise InputError(f"targets: {one.get('name', 'a target without a name')}: {one_line(error)}") from None
        if targets[-1].name in LIDC.names:
            raise InputError(
                f"targets: {targets[-1].name} is LIDC-IDRI's rating; give your target another name, such as "
                f"own_{targets[-1].name}"
            )
    return TargetTable(tuple(targets)).targets


def plain_targets(targets: Sequence[str] | Sequence[Target]) -> list[Any]:
    """Names, or targets as mappings, for a file."""
    return [one if isinstance(one, str) else plain_options(one) for one in targets]


def build_targets(values: Sequence[Any]) -> tuple[str, ...] | tuple[Target, ...]:
    """The reverse of :func:`plain_targets`.

    Raises:
        TypeError: as `build_options`.
    """
    if all(isinstance(one, str) for one in values):
        return tuple(values)
    return tuple(build_options(Target, one) for one in values)


def own_table(targets: Sequence[str] | Sequence[Target]) -> TargetTable | None:
    """The table of a run whose targets are its own; None where they are names of LIDC-IDRI's."""
    own = tuple(one for one in targets if isinstance(one, Target))
    return TargetTable(own) if own else None


def in_order(names: Sequence[str]) -> tuple[str, ...]:
    """Names of LIDC-IDRI's targets in the order of their table.

    Raises:
        InputError: for others, or none.
    """
    known = LIDC.names
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        meant = did_you_mean(unknown[0], known) if unknown else ""
        found = ", ".join(unknown) or "none"
        raise InputError(f"targets: expected some of {', '.join(known)}, found {found}{meant}")
    return tuple(name for name in known if name in names)


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"targets: {text[:60]}: expected a name, or a mapping as JSON ({error})") from None


def _from_yaml(path: Path) -> list[Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a YAML list of targets") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: expected a YAML list of targets ({one_line(error)})") from None
    if isinstance(found, dict) and "targets" in found:
        found = found["targets"]
    if not isinstance(found, list):
        raise InputError(f"{path}: expected a YAML list of targets, found {type(found).__name__}")
    return found


def _slug(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")


def _text(label: object) -> str:
    """A label as the CSV had it: whole numbers without a point."""
    return f"{label:g}" if isinstance(label, float) else str(label).strip()
