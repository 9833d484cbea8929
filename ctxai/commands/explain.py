"""``ctxai explain``: from a CT to predictions and overlays in its own geometry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from ctxai.commands.options import CLUSTER
from ctxai.errors import InputError
from ctxai.quick_imports import quick_imports
from ctxai.results_folder import DEFAULT_FORMATS
from ctxai.run.device import AUTO


def explain(
    input: Path | None = None,
    out_dir: Path | None = None,
    /,
    *,
    run: Path | None = None,
    patients: list[str] | None = None,
    points: Path | None = None,
    xml: Path | None = None,
    acquisition: list[str] = [],  # noqa: B006
    method: list[str] | None = None,
    target: list[str] | None = None,
    concept: Path | None = None,
    formats: str = DEFAULT_FORMATS,
    views: list[str] | None = None,
    maps: bool = True,
    spread: bool = False,
    trust: bool = True,
    deidentify: bool = False,
    retain: list[str] = [],  # noqa: B006
    key: Path | None = None,
    shard: Annotated[str | None, CLUSTER] = None,
    headers: Annotated[Path | None, CLUSTER] = None,
    merge: Annotated[Path | None, CLUSTER] = None,
    workers: int = 0,
    device: str = AUTO,
    resume: bool = True,
) -> None:
    """Predict and explain the nodules of every CT series in INPUT, and write overlays in the CT's own geometry.

    OUT_DIR gets predictions.csv, predictions.json and report.html, and for each series a folder with NIfTI files and
    DICOM objects to look at beside the CT. The nodules are LIDC-IDRI's, or your points, which `ctxai detect` can
    propose with a detector of yours. For research use only.

    Args:
        input: a folder of a series, a study or many studies, or a zip of one.
        out_dir: folder for the results.
        run: run folder of the model, or the name of one that comes with the package: hybrid_vit_lidc2d, the default, or
            hybrid_ensemble_lidc2d, the mean of five networks.
        patients: only these patients; the word test stands for those of the run's test fold.
        points: nodules as CSV (x,y,z in LPS mm; optional nodule_id, series_uid, diameter_mm) or Slicer markups;
            without it, LIDC-IDRI's annotation of the series.
        xml: LIDC's XML annotation (a file or a folder of them) instead of points.
        acquisition: of a series with several acquisitions or phases the one with this value, such as 2 or
            AcquisitionNumber=2; without it the largest. The acquisitions are named in a warning.
        method: explanation methods, such as cdam, agcam or smooth_cdam, with options as smooth_cdam:n_samples=20;
            vision_diffmask needs train-diffmask first. Without it cdam, after path_gradients for a run that finds the
            nodule's middle itself, as the run of the package does: its maps passed the check most often.
        target: outputs to explain: malignancy, or biomarkers such as spiculation; or contrasts of two outputs such as
            spiculation-lobulation, the first minus the second as the model gives them (a logit for malignancy,
            z-scores for biomarkers). Without it the run's first: malignancy, or of own targets the first one.
        concept: folder of example nodules of a concept, explained besides the targets under the folder's name: a
            nodule store, of which all rows without a fault count, or DICOM series with a points.csv in the folder.
        formats: objects to write, separated by commas: nifti; pmap (Parametric Map: the true values); seg
            (Segmentation: nodules, and evidence in bands); fractional (Segmentation: evidence in shades, for Weasis);
            sr (Structured Report); sc (Secondary Capture: colour slices); pdf; readers (each reader's outlines and
            ratings).
        views: views to explain: axial, coronal, sagittal; without it, those the run was trained for.
        maps: explain; --no-maps only predicts.
        spread: write the standard deviation over the views beside each NIfTI map; it needs two views or more.
        trust: judge every map of an output, for 163 forward passes a view, and 16 and eight times the map's own cost
            for each map: the columns METHOD_TARGET_fidelity (does removing what the map points at change the answer),
            _fidelity_percentile (among random maps; 50 is chance), _stability (under noise, another kernel, a mark 2 mm
            aside) and _sanity (does the map change when the weights are shuffled).
        deidentify: write no identity of the patient, by DICOM's Basic Application Level Confidentiality Profile (PS3.15
            E): UIDs and patient become pseudonyms, nodules are numbered, dates and all that is not needed go. Overlays
            then lie on no CT but the deidentified one, which is written beside them, in dicom/ct. Pixels stay as they
            are.
        retain: options of that profile, what to keep: uids (overlays lie on the original CT), dates or modified-dates
            (all moved by the same days), patient (sex, age, size, weight), device, institution.
        key: file with the secret under which pseudonyms are made, so that the same patient has the same one in every
            call; made where there is none. Without it, ~/.config/ctxai/deidentify.key. Patients of a run without public
            ids are recognised by it as well.
        shard: i/n, the i-th of n equal parts of the series; afterwards run ``ctxai explain --merge``. A series that
            cannot be explained is noted, and told by the merge. Without it, all series at once.
        headers: file that ``ctxai ingest --prepare`` kept the headers of the tree INPUT in, read instead of it.
        merge: write the tables and the report over the results given here, after all of their shards.
        workers: threads of the model; 0 takes every core.
        device: what the model runs on: auto (a GPU where there is one), cpu, cuda or cuda:1.
        resume: leave series that are done; --no-resume does them again.
    """
    with quick_imports(for_good=True):
        import torch

        from ctxai.deidentification.profile import asked_for
        from ctxai.deidentification.pseudonyms import Pseudonymizer
        from ctxai.inference.formats.base import parse_formats
        from ctxai.inference.options import make_options
        from ctxai.inference.shards import merge_shards
        from ctxai.inference.tree import explain_tree
        from ctxai.run.run import Run

    if merge is not None:
        merge_shards(merge)
        return
    if input is None or out_dir is None:
        raise InputError(f"{'INPUT' if input is None else 'OUT_DIR'} is missing; see `ctxai explain --help`")
    model = Run.open(run).to(device)
    methods = model.default_methods if method is None else method
    options = replace(
        make_options(model, methods if maps else [], target, views=views, trust=trust, input=input),
        formats=parse_formats(formats),
        std=spread and maps,
        names=Pseudonymizer(key),
        confidentiality=asked_for(deidentify, retain, key),
    )
    if workers > 0:
        torch.set_num_threads(workers)
    explain_tree(
        input,
        out_dir,
        options,
        patients=patients,
        points=points,
        xml=xml,
        concept=concept if maps else None,
        shard=shard,
        headers=headers,
        acquisitions=acquisition,
        resume=resume,
    )
