"""Options of an explanation, checked, and the digest of what results depend on."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ctxai import __version__
from ctxai.ct.header import series_key
from ctxai.ct.series import CTSeries
from ctxai.ct.volume import CT
from ctxai.data.settings import VIEWS
from ctxai.deidentification.profile import Confidentiality, codes_of
from ctxai.deidentification.pseudonyms import Pseudonymizer
from ctxai.errors import InputError
from ctxai.explain.base import Attribution
from ctxai.explain.concept import Concept
from ctxai.explain.contrast import Contrast
from ctxai.files import json_sha256
from ctxai.inference.method_spec import parse_method_spec
from ctxai.inference.nodules import NoduleCandidate
from ctxai.run.methods import make_method
from ctxai.run.run import Run
from ctxai.run.targets import NamedTarget, identity_of, name_of, parse_targets
from ctxai.suggestions import did_you_mean

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExplainOptions:
    """How every series is predicted, explained and written.

    Attributes:
        input: where the CTs are, as the user named it; None for a CT from an array.
        run: the model.
        methods: explanation methods; empty for a prediction alone.
        targets: what is explained.
        views: which views are explained.
        formats: which objects are written.
        std: write the standard deviation over the views, too.
        trust: assess the reliability of every map.
        names: names of patients.
        confidentiality: how results are deidentified; None where they are not.
    """

    input: Path | None
    run: Run
    methods: Sequence[Attribution]
    targets: Sequence[NamedTarget]
    views: Sequence[str]
    formats: Sequence[str] = ()
    std: bool = False
    trust: bool = True
    names: Pseudonymizer = field(default_factory=Pseudonymizer)
    confidentiality: Confidentiality | None = None

    def check(self) -> None:
        """Refuse what cannot be done.

        Raises:
            InputError: when a standard deviation is asked for over one view, or without NIfTI.
        """
        if self.std and (len(self.views) < 2 or "nifti" not in self.formats):
            raise InputError(
                f"--spread is over views and written as NIfTI; expected two --views or more and nifti among --formats, "
                f"found {' '.join(self.views)} and {','.join(self.formats)}"
            )

    def with_concept(self, folder: Path) -> ExplainOptions:
        """The options with one target more, the concept of the examples in ``folder``.

        Raises:
            InputError: as :func:`~ctxai.inference.concepts.read_concept`.
        """
        from ctxai.inference.concepts import read_concept  # here: Zarr, which examples alone need

        concept = read_concept(folder, self.run, [name_of(target) for target in self.targets])
        return replace(self, targets=[*self.targets, concept])

    def key_of(self, series: CT | str) -> str:
        """Name of the folder of a series, given itself or by its Series Instance UID."""
        if not isinstance(series, str):
            if not isinstance(series, CTSeries):
                return series.key
            series = series.series_uid
        return series_key(series) if self.confidentiality is None else self.confidentiality.series_key(series)

    @property
    def method_codes(self) -> list[str]:
        """How results are deidentified, by DICOM's codes; empty where they are not."""
        return codes_of(self.confidentiality)

    @property
    def digest(self) -> str:
        """Checksum of what the results of every series depend on."""
        return json_sha256(self._common())

    def digest_of(self, series: CT, candidates: Sequence[NoduleCandidate]) -> str:
        """Checksum of what the results of one series depend on: headers and pixels, nodules and options."""
        content = series.content_sha256
        if self.confidentiality is not None:  # whoever has the CT could tell it by its checksum
            content = self.confidentiality.token("content", content).hex()
        return json_sha256({"content": content, "nodules": list(map(_identity, candidates))} | self._common())

    def _common(self) -> dict[str, object]:
        secret = [self.confidentiality.token("explain").hex()] if self.confidentiality else []
        return {
            "run": self.run.digest,
            "methods": [[method.name, method.options] for method in self.methods],
            "targets": [[name_of(target), identity_of(target)] for target in self.targets],
            "views": [*self.views],
            "formats": [*self.formats],
            "spread": self.std,
            "trust": self.trust,
            "deidentified": [*self.method_codes, *secret],
            "version": __version__,
        }


def _identity(candidate: NoduleCandidate) -> list[object]:
    """All that a nodule's results depend on."""
    masks = candidate.masks
    outlines = None if masks is None else [masks.start, hashlib.sha256(np.packbits(masks.masks).tobytes()).hexdigest()]
    place = [candidate.nodule_id, candidate.centre_lps.tolist(), candidate.diameter_mm]
    return [*place, outlines, dict(candidate.ratings), candidate.n_readers, [dict(one) for one in candidate.readings]]


def make_options(
    run: Run,
    methods: Sequence[str | Attribution],
    targets: Sequence[str | Contrast | Concept] | None,
    *,
    views: Sequence[str] | None = None,
    trust: bool = True,
    input: Path | None = None,
) -> ExplainOptions:
    """Options from names of methods, targets and views.

    Args:
        run: the model.
        methods: names such as ``cdam`` or ``smooth_cdam:n_samples=20``, or methods made for the run's model.
        targets: names of outputs or of differences of two, or contrasts and concepts; the run's first output when not
            given.
        views: the run's own when not given.
        trust: assess the reliability of every map.
        input: where the CT is, as the user named it.

    Raises:
        InputError: for an unknown name, or a method that is given twice.
    """
    targets = run.target_names[:1] if targets is None else targets
    named = [parse_targets([one], run.target_names)[0] if isinstance(one, str) else one for one in targets]
    made = [make_method(run, *parse_method_spec(one)) if isinstance(one, str) else one for one in methods]
    if twice := {one.name for one in made if [other.name for other in made].count(one.name) > 1}:
        raise InputError(f"--method {sorted(twice)[0]}: given twice; files and columns are named by the method alone")
    return ExplainOptions(input, run, made, named, checked_views(run, views), trust=trust and bool(made))


def checked_views(run: Run, views: Sequence[str] | None) -> list[str]:
    """The run's own views, or others; one that it was not trained for is allowed, with a warning.

    Raises:
        InputError: for a view that does not exist.
    """
    for view in views or ():
        if view not in VIEWS:
            raise InputError(f"--views {view}: expected some of {', '.join(VIEWS)}{did_you_mean(view, VIEWS)}")
        if view not in run.views.views:
            logger.warning("the run %s was not trained on %s views; their maps are marked so", run.name, view)
    return list(run.views.views if views is None else views)
