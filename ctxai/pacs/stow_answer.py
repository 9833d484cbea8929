"""Answers of STOW-RS: which objects the service names as stored, and which as failed (PS3.18 10.5.3)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from defusedxml import ElementTree

from ctxai.pacs.client import UNREAD_SYNTAX, Outcome, describe_status, is_temporary

_STORED, _FAILED, _OTHER_FAILURES = "00081199", "00081198", "0008119A"
_UID, _FAILURE, _WARNING = "00081155", "00081197", "00081196"
_LONGEST = 120


@dataclass(frozen=True)
class StowAnswer:
    """An answer.

    Attributes:
        stored: SOP Instance UID of every stored object, with its warning reason (0 without one).
        failed: SOP Instance UID of every failed object, with its failure reason (0 without one).
    """

    stored: Mapping[str, int]
    failed: Mapping[str, int]

    def outcome(self, path: Path, sop_uid: str, syntax_advice: str = "") -> Outcome | None:
        """Outcome of the only object of a request; None where the answer does not name it.

        A failure without a UID is that object's, too; a storage without a UID is nobody's.

        Args:
            path: the file of the object.
            sop_uid: its SOP Instance UID.
            syntax_advice: what to do where the service does not read its transfer syntax.
        """
        code = self.failed.get(sop_uid, self.failed.get(""))
        if code is not None:
            reason = describe_status(code) if code else "no reason given"
            advice = syntax_advice if code == UNREAD_SYNTAX else ""
            return Outcome(path, False, reason + advice, is_temporary(code))
        if sop_uid not in self.stored:
            return None
        warning = self.stored[sop_uid]
        return Outcome(path, True, describe_status(warning) if warning else "")


def read_stow_answer(body: bytes, content_type: str) -> StowAnswer | None:
    """Read an answer in DICOM JSON or native DICOM XML; None for anything else, such as a page of HTML."""
    try:
        attributes = _from_xml(body) if "xml" in content_type.lower() else _from_json(body)
        stored = _codes(attributes.get(_STORED, []), _WARNING)
        failed = _codes(attributes.get(_FAILED, []), _FAILURE)
        failed |= _codes(attributes.get(_OTHER_FAILURES, []), _FAILURE)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, ElementTree.ParseError):
        return None
    return StowAnswer(stored, failed)


def describe_body(response: requests.Response) -> str:
    """A body in a few words: the title of a page, the message of a JSON error, or its kind."""
    kind = response.headers.get("Content-Type", "").split(";")[0].strip() or "no content type"
    if not response.content:
        return "empty"
    text = response.content[:20_000].decode("utf-8", "replace")
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    if title:
        return f"a page titled {_plain(title[1])!r}"
    try:
        value = json.loads(text)
        said = next((value[key] for key in ("message", "Message", "error", "detail") if value.get(key)), None)
        return f"{kind}: {_plain(str(said))}" if said else kind
    except (ValueError, AttributeError, TypeError):
        return kind


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in " ".join(text.split()))[:_LONGEST]


def _codes(items: list[dict[str, list[Any]]], reason: str) -> dict[str, int]:
    """SOP Instance UID, empty for an item without one, to reason of the items of a sequence."""
    return {str((item.get(_UID) or [""])[0]): int((item.get(reason) or [0])[0]) for item in items}


def _from_json(body: bytes) -> dict[str, list[dict[str, list[Any]]]]:
    """Sequences of a DICOM JSON dataset (PS3.18 F.2); some services wrap it in a list."""
    value = json.loads(body)
    (dataset,) = value if isinstance(value, list) else [value]
    return {
        tag: [{key: inner.get("Value", []) for key, inner in item.items()} for item in element.get("Value", [])]
        for tag, element in dataset.items()
        if element.get("vr") == "SQ"
    }


def _from_xml(body: bytes) -> dict[str, list[dict[str, list[Any]]]]:
    """Sequences of a native DICOM model (PS3.19 A.1)."""
    root = ElementTree.fromstring(body)
    return {
        element.get("tag", ""): [
            {
                inner.get("tag", ""): [value.text or "" for value in inner.iter() if _is(value, "Value")]
                for inner in item
                if _is(inner, "DicomAttribute")
            }
            for item in element
            if _is(item, "Item")
        ]
        for element in root
        if _is(element, "DicomAttribute")
    }


def _is(element: Any, name: str) -> bool:
    return str(element.tag).rpartition("}")[2] == name
