"""A run: a trained classifier with everything that explaining and reproducing its predictions needs, in one folder."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from ctxai.data.settings import ViewConfig
from ctxai.data.targets import TargetTable
from ctxai.data.views import as_patches
from ctxai.errors import RunError, one_line
from ctxai.explain.base import Attribution
from ctxai.files import atomic_folder, json_sha256, json_text, sha256, write_json, write_text
from ctxai.folder_kinds import refuse_to_lose
from ctxai.models.ensemble import EnsembleClassifier
from ctxai.models.network import NoduleNetwork
from ctxai.own_files import own_files
from ctxai.run.calibration import Calibration
from ctxai.run.config import RunConfig
from ctxai.run.device import AUTO, torch_device
from ctxai.run.explanation import PatchExplanation, explain_patch
from ctxai.run.files import (
    CALIBRATION,
    CARD,
    CONFIG,
    METRICS,
    NOVELTY,
    PLOTS,
    PREDICTIONS,
    PROVENANCE,
    REWRITTEN,
    RUN_FILES,
    WEIGHTS,
    WRITTEN,
    file_checksums,
    read_run_files,
)
from ctxai.run.forward import Passed, checked_patches, outlines_of_patches, pass_patches
from ctxai.run.members import spread_over_members
from ctxai.run.methods import make_method
from ctxai.run.model_card import model_card
from ctxai.run.ood import Novelty
from ctxai.run.recentring import displacement_mm, within
from ctxai.run.target_calibration import TableCalibration
from ctxai.run.targets import NamedTarget, parse_targets
from ctxai.run.weights import stored_weights
from ctxai.suggestions import did_you_mean
from ctxai.training.settings import LOGS

SHIPPED = Path(__file__).parents[1] / "weights" / "hybrid_vit_lidc2d"


@dataclass
class Run:
    """A classifier ready to predict, and where it comes from.

    Args:
        name: the run folder's name.
        config: resolved options.
        model: the classifier, in evaluation mode.
        calibration: probability and intervals.
        provenance: versions, store checksum, seed, git commit, and the patients and nodules of every fold.
        metrics: what was measured.
        predictions: predictions of the last evaluation, one row per nodule.
        weights_sha256: checksum of the weights file; empty before the run is saved.
        path: the run folder; None before the run is saved.
        novelty: what the training nodules look like; None in a run that does not tell how unlike them a nodule is.
    """

    name: str
    config: RunConfig
    model: NoduleNetwork | EnsembleClassifier
    calibration: Calibration | TableCalibration
    provenance: dict[str, Any]
    metrics: dict[str, Any] = field(default_factory=dict)
    predictions: pd.DataFrame = field(default_factory=pd.DataFrame)
    weights_sha256: str = ""
    path: Path | None = None
    novelty: Novelty | None = None

    @property
    def folder(self) -> Path:
        """The run folder.

        Raises:
            RunError: before the run is saved.
        """
        if self.path is None:
            raise RunError(f"run {self.name}: save it before its folder is used")
        return self.path

    @property
    def views(self) -> ViewConfig:
        """Views, field of view and statistics that the run was trained for."""
        return self.config.views

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of the model's outputs: `TARGETS`, or those of them that it was trained for."""
        return self.model.target_names

    @property
    def own(self) -> TargetTable | None:
        """The table of targets of one's own; None in a run of LIDC-IDRI's."""
        return self.config.own

    @property
    def default_methods(self) -> tuple[str, ...]:
        """Names of the explanation methods to show where none is asked for, the most reliable first.

        Maps of pixels hold under a moved mark where the run finds the nodule's middle itself; elsewhere CDAM alone.
        """
        return ("path_gradients", "cdam") if self.views.recentre_mm else ("cdam",)

    @property
    def digest(self) -> str:
        """SHA-256 of what predictions depend on: name, weights, options, calibration, novelty and folds.

        Metrics and predictions of an evaluation are left out.
        """
        novelty = {} if self.novelty is None else self.novelty.to_tensors()
        parts = [self.name, self.weights_sha256, self.config.to_yaml(), self.calibration.to_json(), self.provenance]
        return json_sha256([*parts, hashlib.sha256(save(novelty)).hexdigest()])

    def in_sample(self, patient_id: str, nodule_id: str | None = None) -> bool:
        """Whether the run has learnt from this patient, in training or in calibration.

        A nodule counts as seen with any other nodule of its patient, so ``nodule_id`` changes nothing; it may be
        given for clarity.
        """
        del nodule_id
        patients = self.provenance["patients"]
        return patient_id in patients["training"] or patient_id in patients["validation"]

    def outputs(self, hu: np.ndarray | torch.Tensor, centres_mm: torch.Tensor | None = None) -> torch.Tensor:
        """Raw outputs, float32 (nodule, output), averaged over the run's views, slices and turns.

        Args:
            hu: patches (nodule, superior, posterior, left) at 1 mm, int16 HU; air where nothing was scanned.
            centres_mm: where the images lie, as :meth:`recentre` gives it; about the patches' centres when not given.

        Raises:
            InputError: for other shapes, or single slices given to a run of several views.
        """
        return self._pass(hu, centres_mm).outputs

    def features(self, hu: np.ndarray | torch.Tensor, centres_mm: torch.Tensor | None = None) -> np.ndarray:
        """Features that novelty is measured in, float32 (nodule, feature), averaged over the run's views and slices.

        Args:
            hu, centres_mm: as :meth:`outputs`.

        Raises:
            InputError: as :meth:`outputs`.
        """
        return self._pass(hu, centres_mm).features.numpy()

    def outlines(self, hu: np.ndarray | torch.Tensor, centres_mm: torch.Tensor | None = None) -> torch.Tensor:
        """Share of each part of the central images that the run takes for nodule, (nodule, view, side, side).

        Args:
            hu, centres_mm: as :meth:`outputs`.

        Raises:
            InputError: as :meth:`outputs`.
            ModelError: when the run has learnt no outlines.
        """
        return outlines_of_patches(self.model, self.views, checked_patches(hu), centres_mm)

    def recentre(self, hu: np.ndarray | torch.Tensor, marks_mm: torch.Tensor | None = None) -> torch.Tensor:
        """From marks of nodules to the middle of the outlines that the run sees there, mm (nodule, 3).

        Axes superior, posterior, left; at most ``views.recentre_mm``, and 0 for a run that stays on the mark.

        Args:
            hu: as :meth:`outputs`.
            marks_mm: where the marks lie (nodule, 3), from the patches' centres; there when not given.

        Raises:
            InputError: as :meth:`outputs`.
        """
        patches = checked_patches(hu)
        if not self.views.recentre_mm or not len(patches):
            return torch.zeros(len(patches), 3)
        outlines, side = self.outlines(patches, marks_mm).numpy(), self.views.field_of_view_mm
        moved = np.stack([displacement_mm(outline, self.views.views, side) for outline in outlines])
        return within(torch.from_numpy(moved).float(), self.views.recentre_mm)

    def _pass(self, hu: np.ndarray | torch.Tensor, centres_mm: torch.Tensor | None) -> Passed:
        found = pass_patches(self.model, self.views, checked_patches(hu), centres_mm)
        if not torch.isfinite(found.outputs).all():
            raise RunError(f"run {self.name}: its outputs are NaN or infinite; its weights are damaged, train it again")
        return found

    def predict(self, hu: np.ndarray | torch.Tensor, centres_mm: torch.Tensor | None = None) -> pd.DataFrame:
        """Predictions of nodules, one row each.

        Columns: those of `Calibration.predictions`, or, for targets of one's own, `TableCalibration.predictions`; of an
        ensemble, the columns of `spread_over_members`; last, where the run has a
        `Novelty`, ``novelty_percentile``: the share of the training nodules, in percent, that are less unlike the
        others; near 100, the other columns are extrapolation.

        Args:
            hu: as :meth:`outputs`; or a single patch (superior, posterior, left), which gives one row.
            centres_mm: as :meth:`outputs`.

        Raises:
            InputError: as :meth:`outputs`.
        """
        patches = as_patches(hu[None] if hu.ndim == 3 else hu)
        outputs, features, members = self._pass(patches, centres_mm)
        table = self._calibrated(self.model, outputs)
        if isinstance(self.model, EnsembleClassifier):
            own = zip(self.model.classifiers(), members.unbind(1), strict=True)
            names = self.target_names if self.own is None else self.own.value_columns
            table = table.assign(**spread_over_members([self._calibrated(*one) for one in own], names))
        if self.novelty is not None:
            known = len(features) > 0
            table["novelty_percentile"] = self.novelty.percentile(features.numpy()) if known else np.empty(0)
        return table

    def _calibrated(self, network: NoduleNetwork | EnsembleClassifier, outputs: torch.Tensor) -> pd.DataFrame:
        """Predictions by a network's raw outputs (nodule, output), under the run's calibration."""
        units = network.to_units(outputs.to(network.device)).cpu().double().numpy()
        raw = outputs.double().numpy()
        if isinstance(self.calibration, TableCalibration):
            assert self.own is not None
            return self.calibration.predictions(self.own, raw, units)
        return self.calibration.predictions(self.target_names, raw, units)

    def predict_marked(self, hu: np.ndarray | torch.Tensor) -> pd.DataFrame:
        """Predictions of nodules that may lie beside the centres of their patches: :meth:`recentre`, then `predict`."""
        patches = checked_patches(hu)
        return self.predict(patches, self.recentre(patches))

    def save(self, path: Path | str, plots: Mapping[str, bytes] | None = None, logs: Path | None = None) -> None:
        """Write the run folder; it appears whole, and replaces one that is there.

        Args:
            path: the folder.
            plots: pictures by file name.
            logs: folder of the training's logs, copied where it is there.

        Raises:
            InputError: when the folder cannot be written, or other files than a run's would be lost.
        """
        path = Path(path)
        refuse_to_lose(path, RUN_FILES)
        with atomic_folder(path) as folder:
            (folder / WEIGHTS).write_bytes(save(stored_weights(self.model, self.config.half_precision)))
            self.weights_sha256 = sha256(folder / WEIGHTS)
            self.provenance["weights_sha256"] = self.weights_sha256
            write_text(folder / CONFIG, self.config.to_yaml())
            write_json(folder / CALIBRATION, self.calibration.to_json())
            if self.novelty is not None:
                (folder / NOVELTY).write_bytes(save(self.novelty.to_tensors()))
            self.provenance["files_sha256"] = file_checksums(folder)
            write_json(folder / PROVENANCE, self.provenance)
            (folder / PLOTS).mkdir()
            for name, picture in (plots or {}).items():
                (folder / PLOTS / name).write_bytes(picture)
            if logs and logs.is_dir():
                shutil.copytree(logs, folder / LOGS)
            self.name, self.path = path.name, path
            self._write_results(folder)

    def record(self, metrics: Mapping[str, Any], predictions: pd.DataFrame) -> None:
        """Write an evaluation's figures and predictions to the run's folder, and its model card anew.

        Raises:
            RunError: before the run is saved.
            InputError: as :func:`~ctxai.run.files.refuse_edited`.
        """
        self.metrics |= metrics
        self.predictions = predictions
        self._write_results(self.folder)

    def record_external(self, name: str, metrics: Mapping[str, Any]) -> None:
        """Write the figures of an external validation beside the run's own, and its model card anew.

        Raises:
            RunError: before the run is saved.
            InputError: as :func:`~ctxai.run.files.refuse_edited`.
        """
        self.metrics["external"] = self.metrics.get("external", {}) | {name: dict(metrics)}
        self._write_results(self.folder)

    def _write_results(self, folder: Path) -> None:
        with own_files(folder, WRITTEN, REWRITTEN) as files:
            files.write(METRICS, json_text(self.metrics, sort_keys=False))  # a later card has the same order
            files.write(PREDICTIONS, self.predictions.to_csv(index=False, lineterminator="\n"))
            files.write(CARD, model_card(self.name, self.config, self.provenance, self.metrics))

    @classmethod
    def load(cls, path: Path | str | None = None) -> Run:
        """Open a run folder; None opens the shipped run.

        Raises:
            RunError: when it is not a run, a file is missing or altered, or the weights do not fit the configuration.
        """
        folder = SHIPPED if path is None else Path(path)
        files = read_run_files(folder)
        model = files.config.make_network(files.members)
        try:
            model.load_state_dict(load_file(folder / WEIGHTS))
        except (RuntimeError, SafetensorError) as error:
            raise RunError(f"{folder / WEIGHTS}: weights do not fit {CONFIG}: {one_line(error)}") from None
        return cls(name=folder.name, model=model.eval(), path=folder, **vars(files))

    @classmethod
    def open(cls, path_or_name: Path | str | None = None, device: str = AUTO) -> Run:
        """Open a run by its folder, or by the name of one that comes with the package; the default run without either.

        Args:
            path_or_name: folder or name.
            device: where the model goes, as :meth:`to`.

        Raises:
            InputError: for a device that is not there.
            RunError: as :meth:`load`, and for a name that is neither.
        """
        name = "" if path_or_name is None else str(path_or_name)
        if name and "/" not in name and not Path(name).exists():
            shipped = sorted(path.parent.name for path in SHIPPED.parent.glob(f"*/{CALIBRATION}"))
            if name in shipped:
                return cls.load(SHIPPED.parent / name).to(device)
            meant = did_you_mean(name, shipped)
            raise RunError(f"{name}: no such run folder, and none of {', '.join(shipped)}{meant}")
        return cls.load(path_or_name).to(device)

    def to(self, device: str) -> Run:
        """Move the model to a device, in place.

        Args:
            device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:1``.

        Raises:
            InputError: for a device that is not there.
        """
        self.model.to(torch_device(device))
        return self

    def explain(
        self,
        hu: np.ndarray,
        methods: Sequence[str | Attribution] = ("cdam",),
        targets: Sequence[str | NamedTarget] = ("malignancy",),
        *,
        views: Sequence[str] | None = None,
    ) -> PatchExplanation:
        """Predict and explain one patch, without a CT.

        Args:
            hu: (superior, posterior, left) at 1 mm, HU, the nodule's mark in its centre; air where nothing was scanned.
            methods: names of explanation methods, or methods made for :attr:`model`.
            targets: names of outputs or of differences of two, or concepts.
            views: out of axial, coronal, sagittal; the run's own when not given.

        Raises:
            InputError: for another shape, values that are not finite, or an unknown name.
        """
        made = [make_method(self, method) for method in methods]
        named = [parse_targets([one], self.target_names)[0] if isinstance(one, str) else one for one in targets]
        return explain_patch(self, hu, made, named, views or self.views.views, recentre=True)
