"""Folder and file names for objects that come over the network: hashes of UIDs, never the UIDs as they are sent."""

from __future__ import annotations

import hashlib


def series_folder(series_uid: str) -> str:
    """Name of a series' folder, the same as :attr:`ctxai.ct.series.CTSeries.key`."""
    return _digest(series_uid)[:12]


def object_file(sop_uid: str) -> str:
    """Name of an object's file."""
    return f"{_digest(sop_uid)[:24]}.dcm"


def _digest(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()
