"""Names of patients in stores and runs: LIDC-IDRI's public ids as they are, pseudonyms under a secret for others."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ctxai.ct.header import SliceHeader
from ctxai.ct.header_table import Owner
from ctxai.deidentification.secret_key import own_key_file, read_key, token
from ctxai.errors import InputError

if TYPE_CHECKING:  # ingestion does without torch
    from ctxai.run.run import Run

_PUBLIC = re.compile(r"LIDC-IDRI-\d{4}")
#: Which key it is made under, and which patient it stands for.
_PSEUDONYM = re.compile(r"patient-([0-9a-f]{4})-[0-9a-f]{16}")


class Pseudonymizer:
    """Names of patients: one for each, the same in every store, shard and run that is made under one key.

    PatientIDs are few enough to try them all, so that an unkeyed hash would tell them; a pseudonym is an HMAC. Its last
    digits are those of the patient's pseudonym in results that are deidentified under the same key.

    Args:
        key: file with the secret, made where there is none as soon as a patient without a public id comes; None for the
            user's own.
    """

    def __init__(self, key: Path | None = None) -> None:
        self._given = key

    def __call__(self, image: SliceHeader | Owner) -> str:
        """The name of the patient whom an image is of, by his id and its issuer; without an id, by his study.

        Raises:
            InputError: when the key is needed and cannot be read or made.
        """
        if _PUBLIC.fullmatch(image.patient_id):
            return image.patient_id
        issued = image.patient_id and image.issuer
        return self._name(image.patient_id or image.study_uid, *([image.issuer] if issued else []))

    def _name(self, *patient: str) -> str:
        return f"patient-{self._mark}-{token(self._key, 'patient', *patient).hex()[:16]}"

    def refuse_foreign(self, names: Iterable[str], place: object) -> None:
        """Refuse names that were made under another key: no patient here would be recognised among them.

        Args:
            names: names of patients.
            place: what they are in, for the message.

        Raises:
            InputError: when there is such a name.
        """
        if self._foreign(names):
            raise InputError(f"{place}: its patients were named under another key; give that with --key")

    def learnt_by(self, run: Run, image: SliceHeader) -> bool | None:
        """Whether a run has learnt from this patient; None where that takes a key which is not here."""
        known = [name for names in run.provenance["patients"].values() for name in names]
        if _PUBLIC.fullmatch(image.patient_id) or not any(map(_PSEUDONYM.fullmatch, known)):
            return run.in_sample(image.patient_id)
        if not self._file.is_file() or self._foreign(known):
            return None
        names = {self(image), self._name(image.patient_id or image.study_uid)}  # learnt before issuers were told apart
        return any(map(run.in_sample, names))

    def _foreign(self, names: Iterable[str]) -> bool:
        found = filter(None, map(_PSEUDONYM.fullmatch, names))
        return any(match[1] != self._mark for match in found)

    @cached_property
    def _file(self) -> Path:
        return own_key_file() if self._given is None else self._given

    @cached_property
    def _key(self) -> bytes:
        return read_key(self._file)

    @cached_property
    def _mark(self) -> str:
        """Tells keys apart."""
        return token(self._key, "key").hex()[:4]
