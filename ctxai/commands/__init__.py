"""Commands of ``ctxai``, one file each: a function whose signature and docstring are the command line.

What is heavy (torch, pandas, pydicom) is imported inside the functions, so that help costs little.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """A line of ``ctxai --help``.

    Args:
        heading: group of commands that it is listed in.
        summary: purpose, in one line.
        example: command line as it is most often wanted; short enough for one line of a terminal.
        writes: parameters that may name the output folder, which is locked while the command runs; the first that is
            given counts.
    """

    heading: str
    summary: str
    example: str
    writes: tuple[str, ...] = ()


_BEGIN, _CT, _MODEL, _TRUST, _PACS = (
    "To begin",
    "A CT and its nodules",
    "A model",
    "Which explanation to trust",
    "A PACS",
)
#: In the order of the work.
COMMANDS = {
    "doctor": Command(_BEGIN, "say what is installed, what is missing, and the command that gets it", "ctxai doctor"),
    "demo": Command(
        _BEGIN,
        "the whole pipeline on a synthetic cohort, in a few minutes",
        "ctxai demo --out demo-out",
        writes=("out",),
    ),
    "phantom": Command(
        _BEGIN,
        "write a synthetic LIDC-IDRI: CT series drawn from the radiologists' outlines",
        "ctxai phantom ct --patients LIDC-IDRI-0515",
        writes=("out_dir",),
    ),
    "explain": Command(
        _CT,
        "predict and explain the nodules of a CT; writes overlays in its own geometry",
        "ctxai explain ct out --points points.csv",
        writes=("merge", "out_dir"),
    ),
    "detect": Command(
        _CT,
        "propose nodules of a CT with a detector that you give (a MONAI bundle)",
        "ctxai detect ct candidates.csv --detector bundle",
    ),
    "open": Command(
        _CT,
        "open a CT on a page of this machine: click a nodule, see the answer, keep your verdict",
        "ctxai open ct",
        writes=("out",),
    ),
    "review-stats": Command(
        _CT, "say how often readers agreed with the model, with and without its map", "ctxai review-stats session"
    ),
    "report": Command(_CT, "write the HTML report of explain's results again", "ctxai report out", writes=("out",)),
    "review": Command(_CT, "open the results on a CT in a viewer on this machine", "ctxai review out"),
    "manifest": Command(
        _MODEL,
        "write the tables of LIDC-IDRI's scans, nodules, readings and folds",
        "ctxai manifest tables",
        writes=("out_dir",),
    ),
    "ingest": Command(
        _MODEL,
        "cut every nodule out of its CT and put it in a nodule store",
        "ctxai ingest path/to/LIDC-IDRI store --workers 8 --report",
        writes=("merge", "store_dir"),
    ),
    "verify": Command(
        _MODEL,
        "check a manifest, a nodule store and a DICOM tree against each other",
        "ctxai verify --store store --dicom path/to/LIDC-IDRI",
    ),
    "pretrain": Command(
        _MODEL,
        "train a vision transformer on a store's images without labels",
        "ctxai pretrain store backbone --config pretrain.yaml",
        writes=("run_dir",),
    ),
    "train": Command(
        _MODEL,
        "fine-tune a vision transformer on a nodule store; gives a run folder",
        "ctxai train store run --config lidc2d.yaml",
        writes=("run_dir",),
    ),
    "evaluate": Command(
        _MODEL, "evaluate a run on its test fold, with intervals", "ctxai evaluate run store", writes=("run_dir",)
    ),
    "train-detector": Command(
        _MODEL,
        "train a small detector of nodules, for `ctxai detect`",
        "ctxai train-detector path/to/LIDC-IDRI bundle",
        writes=("out_dir",),
    ),
    "export-bundle": Command(
        _MODEL,
        "write a run as a MONAI bundle, for MONAI's own runner",
        "ctxai export-bundle run bundle",
        writes=("out_dir",),
    ),
    "planted": Command(
        _TRUST,
        "write a nodule store whose labels are tied to evidence in a known place",
        "ctxai planted planted-store --trait spikes",
        writes=("store_dir",),
    ),
    "train-diffmask": Command(
        _TRUST,
        "train the gates that the explanation method vision_diffmask needs",
        "ctxai train-diffmask run store",
        writes=("run_dir",),
    ),
    "benchmark": Command(
        _TRUST,
        "score every explanation method by every metric, on real nodules or planted truth",
        "ctxai benchmark run store comparison",
        writes=("out_dir",),
    ),
    "fetch-study": Command(
        _PACS,
        "fetch the CT series of a study from a PACS",
        "ctxai fetch-study 1.2.840.113619.2.55 ct --dimse PACS@pacs:104",
        writes=("out_dir",),
    ),
    "send": Command(
        _PACS,
        "send the DICOM objects of a result folder to a PACS",
        "ctxai send out --dicomweb http://pacs:8042/dicom-web",
        writes=("out_dir",),
    ),
    "watch": Command(
        _PACS,
        "listen for CTs, explain each and send the results to a PACS",
        "ctxai watch spool --dimse PACS@pacs:104 --points points.csv",
        writes=("spool",),
    ),
}
