"""Explanation methods with options as people type them: ``smooth_cdam:n_samples=20,seed=1``."""

from __future__ import annotations

from typing import Any

import yaml

from ctxai.errors import InputError


def parse_method_spec(text: str) -> tuple[str, dict[str, Any]]:
    """Name and options of a method.

    Args:
        text: ``NAME`` or ``NAME:OPTION=VALUE,OPTION=VALUE``; values are YAML scalars: 20 is an integer, 0.05 and
            5e-2 are floats, true is a truth value, none is None, and all else is text.

    Returns:
        The name, and values by option; whether the method has such options is the registry's to say.

    Raises:
        InputError: for an option without a value, or one that is given twice.
    """
    name, _, rest = text.partition(":")
    options: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        option, equals, value = part.partition("=")
        option = option.strip().replace("-", "_")
        if not (equals and option.isidentifier() and value.strip()) or option in options:
            raise InputError(f"--method {text}: expected NAME:OPTION=VALUE,…, each option once, found {part}")
        options[option] = _value(value.strip())
    return name.strip(), options


def _value(text: str) -> Any:
    if text.lower() == "none":
        return None
    try:
        return float(text) if "e" in text.lower() and not text.isalpha() else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError):
        return text
