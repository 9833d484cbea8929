"""What ``ctxai explain`` is asked to do with every series: its options, checked, and what results depend on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ctxai import __version__
from ctxai.ct.header import series_key
from ctxai.ct.series import CTSeries
from ctxai.data.settings import VIEWS
from ctxai.deidentification.profile import Confidentiality
from ctxai.deidentification.pseudonyms import Pseudonymizer
from ctxai.errors import InputError, ModelError
from ctxai.explain.base import Attribution, get_method
from ctxai.explain.methods.vision_diffmask import VisionDiffMask
from ctxai.files import json_sha256
from ctxai.inference.nodules import NoduleCandidate
from ctxai.inference.results import codes_of
from ctxai.inference.targets import NamedTarget, identity_of, name_of, read_concept
from ctxai.run.explaining import method_for
from ctxai.run.gates import load_gates
from ctxai.run.run import Run
from ctxai.suggestions import did_you_mean

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExplainOptions:
    """What is to be done with every series.

    Attributes:
        input: where the CTs are, as the user named it.
        run: the model.
        methods: what explains; none where there is only a prediction to make.
        targets: what is explained.
        views: which views are explained.
        formats: which objects are written.
        spread: write the standard deviation over the views, too.
        trust: judge every map, too.
        names: what patients are called.
        confidentiality: how results are deidentified; None where they are not.
    """

    input: Path
    run: Run
    methods: Sequence[Attribution]
    targets: Sequence[NamedTarget]
    views: Sequence[str]
    formats: Sequence[str]
    spread: bool
    trust: bool
    names: Pseudonymizer
    confidentiality: Confidentiality | None = None

    def check(self) -> None:
        """Refuse what cannot be done.

        Raises:
            InputError: when a spread over one view, or one that is not written as NIfTI, is asked for.
        """
        if self.spread and (len(self.views) < 2 or "nifti" not in self.formats):
            raise InputError(
                f"--spread is over views and written as NIfTI; expected two --views or more and nifti among --formats, "
                f"found {' '.join(self.views)} and {','.join(self.formats)}"
            )

    def with_concept(self, folder: Path) -> ExplainOptions:
        """The request with one target more, the concept of the examples in ``folder``.

        Raises:
            InputError: as :func:`~ctxai.inference.targets.read_concept`.
        """
        concept = read_concept(folder, self.run, [name_of(target) for target in self.targets])
        return replace(self, targets=[*self.targets, concept])

    def key_of(self, series_uid: str) -> str:
        """Name of a series' folder."""
        return series_key(series_uid) if self.confidentiality is None else self.confidentiality.series_key(series_uid)

    @property
    def method_codes(self) -> list[str]:
        """How the results are deidentified, by DICOM's codes; empty where they are not."""
        return codes_of(self.confidentiality)

    @property
    def digest(self) -> str:
        """Checksum of what the results of every series depend on."""
        return json_sha256(self._asked())

    def digest_of(self, series: CTSeries, candidates: Sequence[NoduleCandidate]) -> str:
        """Checksum of what the results of one series depend on."""
        uid = str if self.confidentiality is None else self.confidentiality.uid
        own = {
            "images": sorted(uid(header.sop_uid) for header in series.headers),
            "nodules": [
                [candidate.nodule_id, candidate.centre_lps.tolist(), candidate.diameter_mm] for candidate in candidates
            ],
        }
        return json_sha256(own | self._asked())

    def _asked(self) -> dict[str, object]:
        secret = [self.confidentiality.token("explain").hex()] if self.confidentiality else []
        return {
            "run": [self.run.name, self.run.weights_sha256],
            "calibration": self.run.calibration.to_json(),
            "methods": [[method.name, method.options] for method in self.methods],
            "targets": [[name_of(target), identity_of(target)] for target in self.targets],
            "views": [*self.views],
            "formats": [*self.formats],
            "spread": self.spread,
            "trust": self.trust,
            "deidentified": [*self.method_codes, *secret],
            "version": __version__,
        }


def make_method(run: Run, name: str) -> Attribution:
    """A method for the run, trained where it has to be.

    Raises:
        InputError: for an unknown method, or one whose training is missing.
    """
    method = get_method(name)
    if method is VisionDiffMask:
        return load_gates(run)
    if "training" in method.needs:
        raise ModelError(f"{method.name} has to be trained for a run, which only Python code can do; choose another")
    return method_for(run, method)


def checked_views(run: Run, views: Sequence[str] | None) -> list[str]:
    """The run's own views, or others; one that it was not trained for is allowed and said.

    Raises:
        InputError: for a view that does not exist.
    """
    for view in views or ():
        if view not in VIEWS:
            raise InputError(f"--views {view}: expected some of {', '.join(VIEWS)}{did_you_mean(view, VIEWS)}")
        if view not in run.views.views:
            logger.warning("the run %s was not trained on %s views; their maps are marked so", run.name, view)
    return list(run.views.views if views is None else views)
