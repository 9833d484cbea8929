"""Sizes that follow a backbone: options that a named network or its weights decide where nobody else does."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from cyclopts import Token
from cyclopts.argument import Argument, ArgumentCollection

from ctxai.errors import ModelError

_NAME, _WEIGHTS = "--backbone.name", "--backbone.weights"
_PATCH, _PIXELS = "--backbone.patch-size", "--views.pixels"


def follow_backbone(app: object, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Fill in patch and image size where a backbone was asked for, and they were not.

    Of a name they are the architecture's own and those that its published weights were trained at; of weights without
    a name, those in the file; one that cannot be read is left to the command, which refuses it.
    """
    by_name = {name: one for one in arguments for name in one.names}
    if not {_NAME, _WEIGHTS, _PATCH, _PIXELS} <= set(by_name):
        return
    name, weights = _asked(by_name[_NAME]), _asked(by_name[_WEIGHTS])
    patch, pixels = by_name[_PATCH], by_name[_PIXELS]
    if patch.tokens and pixels.tokens:
        return
    if name is not None:
        from ctxai.models.published import input_pixels

        _fill(patch, None)
        if size := input_pixels(name):
            _fill(pixels, size)
    elif weights is not None:
        from ctxai.models.weights_io import sizes_in

        with suppress(ModelError):
            for argument, size in zip((patch, pixels), sizes_in(Path(weights)), strict=True):
                if size is not None:
                    _fill(argument, size)


def _asked(argument: Argument) -> str | None:
    """The text that was given; None for nothing, and for null."""
    text = argument.tokens[-1].value if argument.tokens else ""
    return None if text in {"", "null"} else text


def _fill(argument: Argument, value: int | None) -> None:
    if not argument.tokens:
        argument.append(Token(implicit_value=value, source="the backbone"))
