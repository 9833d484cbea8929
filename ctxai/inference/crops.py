"""Small NIfTI files of a nodule for its report: its patch of the CT, the readers' consensus and its maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ctxai.explain.base import Attribution
from ctxai.export.nifti import write_nifti
from ctxai.export.provenance import Provenance
from ctxai.inference.nodule import ExplainedNodule
from ctxai.results_folder import PATCH_CT, PATCH_READERS, nodule_folder
from ctxai.run.run import Run
from ctxai.run.targets import NamedTarget, identity_of, name_of


def provenance_of(method: Attribution, target: NamedTarget, run: Run, nodules: Sequence[ExplainedNodule]) -> Provenance:
    """Provenance of the map of a method and a target of these nodules."""
    return Provenance(
        method=method.name,
        target=name_of(target),
        options=method.options | identity_of(target),
        reference=method.reference,
        run=run.name,
        weights_sha256=run.weights_sha256,
        explained=tuple(nodule.candidate.nodule_id for nodule in nodules),
        signed=method.signed,
    )


def write_crops(
    folder: Path,
    nodule: ExplainedNodule,
    run: Run,
    methods: Sequence[Attribution],
    targets: Sequence[NamedTarget],
) -> None:
    """Write ``nodules/<nodule id>/`` with ``ct.nii.gz``, ``readers.nii.gz`` and ``<method>_<target>.nii.gz``.

    They are on the patch's own grid: 1 mm voxels along the patient's axes, about 64 mm.

    Args:
        folder: the series' folder of results.
        nodule: what was explained.
        run: the model.
        methods: the methods that explained it.
        targets: the targets that were explained.

    Raises:
        InputError: when the disk is full.
    """
    to = nodule_folder(folder, nodule.candidate.nodule_id)
    write_nifti(to / PATCH_CT, nodule.patch.hu, nodule.patch.grid)
    if nodule.inside is not None:
        readers = Provenance("readers", "50 % consensus", explained=(nodule.candidate.nodule_id,))
        write_nifti(to / PATCH_READERS, nodule.inside, nodule.patch.grid, readers)
    for method in methods:
        for target in targets:
            provenance = provenance_of(method, target, run, [nodule])
            values = nodule.maps[method.name, name_of(target)].values
            write_nifti(to / f"{provenance.stem}.nii.gz", values, nodule.patch.grid, provenance)
