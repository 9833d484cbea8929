"""Targets of explanation by name: outputs of a run, contrasts of two of them, and concepts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeAlias

from ctxai.errors import InputError
from ctxai.explain.concept import Concept
from ctxai.explain.contrast import Contrast
from ctxai.suggestions import did_you_mean

NamedTarget: TypeAlias = str | Contrast | Concept


def name_of(target: NamedTarget) -> str:
    """Name of a target in files and tables."""
    return target if isinstance(target, str) else target.name


def identity_of(target: NamedTarget) -> dict[str, str]:
    """Dependence of a target's map beyond its name: a concept's direction, by checksum."""
    if not isinstance(target, Concept):
        return {}
    return {"concept_sha256": hashlib.sha256(target.vector.cpu().double().numpy().tobytes()).hexdigest()}


def parse_targets(names: Sequence[str], outputs: Sequence[str]) -> list[NamedTarget]:
    """Outputs of a run (``spiculation``), and contrasts of two of them (``spiculation-lobulation``).

    Args:
        names: what is asked for.
        outputs: names of the run's outputs.

    Raises:
        InputError: for anything else.
    """
    targets: list[NamedTarget] = []
    for name in names:
        pairs = [(a, b) for a in outputs for b in outputs if f"{a}-{b}" == name]
        if name in outputs:
            targets.append(name)
        elif pairs:
            targets.append(Contrast(*pairs[0]))
        else:
            contrasts = [f"{a}-{b}" for a in outputs for b in outputs if a != b]
            raise InputError(
                f"--target {name}: the run has {', '.join(outputs)}, and contrasts of two such as "
                f"{outputs[-1]}-{outputs[0]}{did_you_mean(name, [*outputs, *contrasts])}"
            )
    return targets
