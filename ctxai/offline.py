"""``CTXAI_OFFLINE=1``: nothing is fetched that the user did not name an address for."""

from __future__ import annotations

import os

VARIABLE = "CTXAI_OFFLINE"


def is_offline() -> bool:
    """Whether the environment variable CTXAI_OFFLINE is set to anything but nothing or 0."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


def configure_offline_mode() -> None:
    """Tell libraries that may fetch weights, before they are imported, to leave the network alone where we must."""
    if is_offline():
        os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
