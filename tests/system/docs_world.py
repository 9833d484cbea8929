"""The world in which the documentation's commands run: everything that its pages take for granted, made small.

    with docs_world(folder, besides) as world:   # besides: see warm_ctxai.py
        world / "ct-folder", world / ".venv" / "bin"

- ``LIDC-IDRI``: a phantom, with nodules of both kinds in each of the five folds; ``ct-folder``: one of its series;
  ``scan``: the same beside its annotation ``069.xml``; ``LUNA16``: the same again, as LUNA16 has it;
- ``points.csv``: the nodule in ``ct-folder``; ``labelled.csv``: all nodules of ``LIDC-IDRI``, with labels;
  ``own-labels.csv``: labels of three targets of one's own for the same nodules;
- ``store``, ``run``, ``results``: what ``ctxai`` makes of them; ``other-store``: of other patients; ``ct.nii.gz``;
- ``crops``: a collection of 2-D crops; ``dino.pth``: a checkpoint of DINO's small vision transformer;
- ``bundle``: a detection bundle with random weights; ``empty``: an empty folder;
- ``.venv``: this interpreter's packages, with a ``ctxai`` that is warm; :data:`CHECKOUT`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sysconfig
import venv
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk
import timm
import torch
from data.test_crops import collection
from detection_bundles import write_bundle

from ctxai.data.store import NoduleStore
from ctxai.lidc.database import LidcDatabase

from pages import REPOSITORY
from system import warm_ctxai
from system.slurm import wait_until

# A malignant and a benign nodule in each of the folds 0 to 4, close together, and the patients whom pages name.
PATIENTS = tuple(f"LIDC-IDRI-{number}" for number in ("0708", "0407", "0347", "0375", "0237", "0001", "0003"))
CT_PATIENT = "LIDC-IDRI-0001"
# Of another collection: nodules of both kinds, close together.
OTHER_PATIENTS = ("LIDC-IDRI-0052", "LIDC-IDRI-0044")
#: Folders of the repository that pages name.
CHECKOUT = ("configs", "ctxai", "data_manifests", "pipelines")

_SETTING_UP = f"""
ctxai phantom LIDC-IDRI --patients {" ".join(PATIENTS)} --margin_mm 2
ctxai ingest LIDC-IDRI store
ctxai phantom OTHER --patients {" ".join(OTHER_PATIENTS)} --margin_mm 2
ctxai ingest OTHER other-store
ctxai train store run
ctxai explain LIDC-IDRI/{CT_PATIENT} results --formats ct,nifti,pmap,seg,sr
"""


@contextlib.contextmanager
def docs_world(folder: Path, besides: Mapping[str, str]) -> Iterator[Path]:
    """Everything in ``folder``, for as long as the block lasts."""
    with _programs(folder / ".venv", besides):
        variables = os.environ | {"PATH": f"{folder / '.venv' / 'bin'}:{os.environ['PATH']}"}
        subprocess.run(["bash", "-euc", _SETTING_UP], cwd=folder, env=variables, check=True)
        (images,) = {path.parent for path in (folder / "LIDC-IDRI" / CT_PATIENT).rglob("*.dcm")}
        (folder / "ct-folder").symlink_to(images)
        (folder / "ct.nii.gz").symlink_to(next((folder / "results").glob("*/ct.nii.gz")))
        _write_points(folder)
        _write_scan(folder / "scan", images)
        _write_luna(folder / "LUNA16", images, folder / "points.csv")
        collection(folder / "crops")
        torch.save(timm.create_model("vit_small_patch8_224", num_classes=0).state_dict(), folder / "dino.pth")
        write_bundle(folder / "bundle", backbone="resnet10", score_thresh=0.0, detections=2, pixdim=(3, 3, 3))
        (folder / "empty").mkdir()
        for name in CHECKOUT:
            (folder / name).symlink_to(REPOSITORY / name)
        yield folder


@contextlib.contextmanager
def _programs(folder: Path, besides: Mapping[str, str]) -> Iterator[None]:
    """A virtual environment with this interpreter's packages, and programs that do what its own would.

    Whatever starts a ``ctxai`` of that environment, a job of SLURM among them, gets the warm one.
    """
    venv.create(folder, symlinks=True)
    places = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", vars=places), "all.pth")
    packages.write_text(f"{REPOSITORY}\n{sysconfig.get_path('purelib')}\n")
    python, address = folder / "bin" / "python", str(folder / "ctxai.socket")
    of_ctxai = f"import sys\nsys.path.append({str(Path(__file__).parent)!r})\nfrom warm_ctxai import call\n"
    programs = {"ctxai": f"#!{python} -IS\n{of_ctxai}sys.exit(call({address!r}))\n"}
    for program, module in {"snakemake": "snakemake", "torchrun": "torch.distributed.run"}.items():
        programs[program] = f'#!/bin/sh\nexec {python} -m {module} "$@" {besides.get(program, "")}\n'
    for name, text in programs.items():
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    command = [python, "-P", warm_ctxai.__file__, address, json.dumps(dict(besides))]
    with subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL) as server:
        try:
            wait_until(lambda: Path(address).exists() or server.poll(), "ctxai and all that it imports", 120)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)


def _write_points(folder: Path) -> None:
    """points.csv and labelled.csv, from the store."""
    table = NoduleStore(folder / "store").table
    points = table[["series_uid", "x", "y", "z", "nodule_id", "diameter_mm"]]
    points[table.patient_id == CT_PATIENT].to_csv(folder / "points.csv", index=False)
    labels = table[["malignancy_mean", "spiculation_mean"]].rename(columns=lambda name: name.removesuffix("_mean"))
    points.join(labels).to_csv(folder / "labelled.csv", index=False)
    number = np.arange(len(table))
    kinds = np.array(["solid", "part-solid", "ground glass"])[number % 3]
    own = {"resected": np.where(number % 2, "yes", "no"), "doubling_time": 20 * table.diameter_mm, "sort": kinds}
    points[["nodule_id"]].assign(**own).to_csv(folder / "own-labels.csv", index=False)


def _write_scan(folder: Path, images: Path) -> None:
    """The CT beside its annotation, as LIDC delivers it."""
    shutil.copytree(images, folder)
    database = LidcDatabase()
    (scan,) = (scan for scan in database.scans if scan.patient_id == CT_PATIENT)
    sessions = ""
    for reading in (reading for nodule in database.nodules(scan) for reading in nodule.readings):
        ratings = "".join(f"<{name}>{value}</{name}>" for name, value in reading.ratings.items())
        rois = ""
        for contour in reading.contours:
            edge = "".join(
                f"<edgeMap><xCoord>{column}</xCoord><yCoord>{row}</yCoord></edgeMap>" for row, column in contour.points
            )
            inclusion = str(contour.inclusion).upper()
            place = f"<imageZposition>{contour.z_mm}</imageZposition><inclusion>{inclusion}</inclusion>"
            rois += f"<roi>{place}{edge}</roi>"
        nodule = f"<noduleID>1</noduleID><characteristics>{ratings}</characteristics>{rois}"
        sessions += f"<readingSession><unblindedReadNodule>{nodule}</unblindedReadNodule></readingSession>"
    head = f"<ResponseHeader><SeriesInstanceUid>{scan.series_uid}</SeriesInstanceUid></ResponseHeader>"
    (folder / "069.xml").write_text(f'<LidcReadMessage xmlns="http://www.nih.gov">{head}{sessions}</LidcReadMessage>')


def _write_luna(folder: Path, images: Path, points: Path) -> None:
    """The CT and its nodule as LUNA16 has them."""
    (folder / "subset0").mkdir(parents=True)
    nodules = pd.read_csv(points).rename(
        columns={"series_uid": "seriesuid", "x": "coordX", "y": "coordY", "z": "coordZ"}
    )
    nodules.to_csv(folder / "annotations.csv", index=False)
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(images))
    sitk.WriteImage(sitk.ReadImage(files), str(folder / "subset0" / f"{nodules.seriesuid[0]}.mhd"))
