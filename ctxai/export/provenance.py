"""Provenance of an exported map: how it was made, by which model, and of which nodules."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ctxai import __version__
from ctxai.disclaimer import NOTICE
from ctxai.errors import InputError

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/#-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Provenance:
    """How a map came to be; written into every object made from it. Holds no patient identity.

    Attributes:
        method: name of the explanation method, or how a mask was drawn.
        target: what was explained, such as ``malignancy``.
        options: the method's options, as JSON has them.
        reference: the publication that defines the method.
        run: name of the model's run.
        weights_sha256: checksum of the model's weights, hexadecimal; empty where no model took part.
        explained: ids of the nodules that the map covers.
        signed: whether negative values mean evidence against the target.
        software: what made the map.
        version: its version.

    Raises:
        InputError: when a name is empty, a nodule id cannot stand in a DICOM object, the checksum is none, or the
            options are not JSON.
    """

    method: str
    target: str
    options: Mapping[str, Any] = field(default_factory=dict)
    reference: str = ""
    run: str = ""
    weights_sha256: str = ""
    explained: tuple[str, ...] = ()
    signed: bool = True
    software: str = "ctxai"
    version: str = __version__

    def __post_init__(self) -> None:
        if not self.method or not self.target:
            raise InputError(f"provenance needs a method and a target, found {self.method!r} and {self.target!r}")
        if self.weights_sha256 and not _SHA256.fullmatch(self.weights_sha256):
            raise InputError(
                f"provenance: weights_sha256 is {self.weights_sha256!r}, expected 64 lower-case hexadecimal digits"
            )
        for nodule_id in self.explained:
            require_identifier(nodule_id)
        try:
            options = json.loads(json.dumps(dict(self.options), sort_keys=True, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise InputError(f"provenance: the options of {self.method} cannot be written as JSON ({error})") from None
        object.__setattr__(self, "options", options)
        object.__setattr__(self, "explained", tuple(self.explained))

    def as_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON, with the notice that the map is for research use only."""
        return asdict(self) | {"explained": list(self.explained), "notice": NOTICE}

    @property
    def stem(self) -> str:
        """Name for files: method and target, as the columns of predictions.csv begin."""
        return "_".join(
            re.sub(r"[^A-Za-z0-9._-]+", "-", part).strip("-.") or "x" for part in (self.method, self.target)
        )

    def describe(self, limit: int = 1024) -> str:
        """One paragraph of at most ``limit`` characters, the nodules last because they may be many."""
        options = ", ".join(f"{name}={json.dumps(value)}" for name, value in self.options.items())
        parts = [
            f"{self.method} of {self.target} by {self.software} {self.version}; {NOTICE}",
            f"options: {options or 'defaults'}",
            f"run: {self.run}" if self.run else "",
            f"weights SHA-256: {self.weights_sha256}" if self.weights_sha256 else "",
            f"reference: {self.reference}" if self.reference else "",
            f"nodules: {', '.join(self.explained)}" if self.explained else "",
        ]
        return shorten("; ".join(part for part in parts if part), limit)


def require_identifier(nodule_id: str) -> None:
    """Refuse a nodule id that cannot stand in a DICOM label.

    Raises:
        InputError: unless it is 1 to 64 ASCII letters, digits, spaces or ``._:/#-``.
    """
    if not _IDENTIFIER.fullmatch(nodule_id):
        raise InputError(
            f"nodule id {nodule_id!r}: expected 1 to 64 ASCII letters, digits, spaces or ._:/#-, "
            "first a letter or digit"
        )


def shorten(text: str, limit: int) -> str:
    """``text`` without backslashes and control characters (DICOM reads them as separators), cut to ``limit``."""
    text = "".join("/" if c == "\\" else c for c in text if c.isprintable())
    return text if len(text) <= limit else text[: limit - 3] + "..."
