"""What is fuzzed: every reader of bytes that ctxai did not write, as a function of those bytes.

A target may raise a :class:`ctxai.errors.CtxaiError`, which is an answer. Anything else is a finding, warnings of
numpy and pydicom among them (``fuzz.py`` and pytest turn warnings into errors).
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import json
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import torch
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless
from safetensors.torch import save
from timm.models.vision_transformer import VisionTransformer

from ctxai.ct.geometry import REPAIRABLE, GeometryRules
from ctxai.ct.header import SliceHeader, read_header
from ctxai.ct.patch import extract_patch
from ctxai.ct.points import read_points
from ctxai.ct.series import CTSeries
from ctxai.ct.stack import Stack, stack
from ctxai.errors import CtxaiError
from ctxai.files import sha256
from ctxai.lidc.consensus import reader_masks
from ctxai.lidc.database import RATINGS
from ctxai.lidc.xml import nodules_from_xml, read_xml
from ctxai.models.checkpoint_files import load_weights
from ctxai.models.run import Run

from runs import untrained_run
from synthetic_ct import ct_grid, write_ct

ALL_REPAIRS = GeometryRules(repair=REPAIRABLE)


@dataclass(frozen=True)
class Target:
    """Something to fuzz.

    Attributes:
        run: takes the bytes and an empty folder of its own.
        seeds: sound inputs to start from.
        words: bytes that a mutation may put in: what the format gives a meaning.
    """

    run: Callable[[bytes, Path], None]
    seeds: Callable[[], list[bytes]]
    words: tuple[bytes, ...] = ()


@functools.cache
def _sound_images() -> tuple[SliceHeader, ...]:
    """Five small slices on the disk for the life of the process."""
    folder = Path(tempfile.mkdtemp(prefix="ctxai-fuzz-"))
    hu = np.random.default_rng(0).integers(-1000, 1000, (5, 32, 36)).astype(np.int16)
    return tuple(read_header(path) for path in write_ct(folder, hu, ct_grid(hu.shape)))


def series(data: bytes, folder: Path) -> None:
    """One image of a series: its header, the series with it, its voxels and a patch."""
    path = folder / "image.dcm"
    path.write_bytes(data)
    header = read_header(path)
    if header is None:
        return
    volume = CTSeries([*_sound_images(), header], ALL_REPAIRS)
    volume.read()
    extract_patch(volume, volume.grid.centre, (8, 8, 8), 1.0)


def _images() -> list[bytes]:
    image = _sound_images()[2].path
    dataset = pydicom.dcmread(image)
    seeds = [image.read_bytes()]
    for syntax in (ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless, JPEG2000Lossless):
        changed = pydicom.dcmread(image)
        if syntax.is_compressed and not syntax.is_deflated:
            changed.compress(syntax, dataset.pixel_array, generate_instance_uid=False)
        else:
            changed.file_meta.TransferSyntaxUID = syntax
        file = io.BytesIO()
        changed.save_as(file, implicit_vr=syntax.is_implicit_VR, little_endian=True)
        seeds.append(file.getvalue())
    return seeds


@functools.cache
def _sound_stack() -> Stack:
    return stack(_sound_images(), ALL_REPAIRS)


def annotation(data: bytes, folder: Path) -> None:
    """LIDC's XML: its outlines on a series, and the readers' masks."""
    path = folder / "annotation.xml"
    path.write_bytes(data)
    for nodule in nodules_from_xml(read_xml(path), _sound_stack(), "P"):
        reader_masks(nodule, np.array([header.position[2] for header in _sound_stack().headers]))


def _annotations() -> list[bytes]:
    first = _sound_stack().headers[1]
    edge = "".join(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in [(2, 2), (9, 2), (5, 8)])
    ratings = "".join(f"<{name}>3</{name}>" for name in RATINGS)
    text = (
        '<?xml version="1.0"?><LidcReadMessage xmlns="http://www.nih.gov"><ResponseHeader><SeriesInstanceUid>'
        f"{first.series_uid}</SeriesInstanceUid></ResponseHeader><readingSession><unblindedReadNodule>"
        f"<noduleID>1</noduleID><characteristics>{ratings}</characteristics><roi><imageZposition>{first.position[2]}"
        f"</imageZposition><imageSOP_UID>{first.sop_uid}</imageSOP_UID><inclusion>TRUE</inclusion>{edge}</roi>"
        "</unblindedReadNodule></readingSession></LidcReadMessage>"
    )
    return [text.encode()]


def points(data: bytes, folder: Path) -> None:
    """A user's points as CSV and as Slicer markups; with labels, as ingestion takes them."""
    from ctxai.stages.patients import PatientNames
    from ctxai.stages.sources import from_points

    header = _sound_images()[0]
    for name in ("points.csv", "points.mrk.json"):
        (folder / name).write_bytes(data)
        with contextlib.suppress(CtxaiError):
            read_points(folder / name)
            from_points({header.series_uid: [header]}, folder / name, PatientNames(folder / "key"))


def _points() -> list[bytes]:
    markup = {"coordinateSystem": "RAS", "controlPoints": [{"position": [1, 2, 3]}]}
    return [
        b"x,y,z,nodule_id,series_uid,diameter_mm\n1,-2,3.5,left-1,,8\n4,5,6,,,\n",
        b'x,y,z,label_malignancy,malignancy\n1,2,3,1,5\n"4",5,6,0,\n',
        json.dumps({"markups": [markup]}).encode(),
    ]


def _tiny_backbone() -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(img_size=16, patch_size=8, embed_dim=8, depth=1, num_heads=1, num_classes=0)


@functools.cache
def _backbone() -> VisionTransformer:
    return _tiny_backbone()


def checkpoint(data: bytes, folder: Path) -> None:
    """Weights of a backbone, in either format."""
    for name in ("weights.pth", "weights.safetensors"):
        (folder / name).write_bytes(data)
        with contextlib.suppress(CtxaiError):
            load_weights(_backbone(), folder / name)


def _checkpoints() -> list[bytes]:
    state = _tiny_backbone().state_dict()
    file, legacy = io.BytesIO(), io.BytesIO()
    torch.save({"teacher": {f"backbone.{k}": v for k, v in state.items()}, "args": argparse.Namespace(a=1)}, file)
    torch.save({"cls_token": state["cls_token"]}, legacy, _use_new_zipfile_serialization=False)
    return [save(state), file.getvalue(), legacy.getvalue()]


_RUN_FILES = ("config.yaml", "calibration.json", "provenance.json", "metrics.json", "predictions.csv")


@functools.cache
def _sound_run() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="ctxai-fuzz-") as folder:
        untrained_run().save(Path(folder, "run"))
        return {path.name: path.read_bytes() for path in Path(folder, "run").iterdir() if path.is_file()}


def run_folder(data: bytes, folder: Path) -> None:
    """A run whose file (the first byte says which) holds other bytes."""
    if not data:
        return
    for name, content in _sound_run().items():
        (folder / name).write_bytes(content)
    (folder / _RUN_FILES[data[0] % len(_RUN_FILES)]).write_bytes(data[1:])
    loaded = Run.load(folder)
    assert loaded.weights_sha256 == sha256(folder / "weights.safetensors")


def _run_files() -> list[bytes]:
    return [bytes([place]) + _sound_run()[name] for place, name in enumerate(_RUN_FILES)]


TARGETS = {
    "series": Target(series, _images, (b"\xff\xff\xff\xff", b"\0\0", b"SQ", b"UN", b"nan", b"1e308", b"-1", b"\\")),
    "annotation": Target(annotation, _annotations, (b"nan", b"1e308", b"-1", b"<roi>", b"99999999999", b"&a;")),
    "points": Target(points, _points, (b"nan", b"inf", b"1e308", b'"', b"\0", b",", b"\n", b"[" * 50, b"null")),
    "checkpoint": Target(checkpoint, _checkpoints, (b"\xff\xff\xff\xff", b"\x80\x02", b"c", b"R", b".")),
    "run": Target(run_folder, _run_files, (b"nan", b".inf", b"null", b"[]", b"{}", b"1e308", b"-1", b"&a", b"*a")),
}


def execute(target: Target, data: bytes, folder: Path) -> None:
    """Give the bytes to a target.

    Raises:
        Exception: whatever is not an answer.
    """
    with warnings.catch_warnings(), contextlib.suppress(CtxaiError):
        warnings.filterwarnings("ignore", message=".*pickle protocol", category=UserWarning)  # torch's own, harmless
        target.run(data, folder)


def mutated(seed: bytes, words: tuple[bytes, ...], generator: np.random.Generator) -> bytes:
    """A changed copy: some bytes flipped, replaced by a word, cut out, doubled or cut off."""
    data = bytearray(seed)
    for _ in range(int(generator.integers(1, 6))):
        place = int(generator.integers(len(data) + 1))
        length = int(generator.integers(1, 9))
        kind = int(generator.integers(6))
        if kind == 0 and place < len(data):
            data[place] ^= 1 << int(generator.integers(8))
        elif kind == 1 and words:
            word = words[int(generator.integers(len(words)))]
            data[place : place + len(word)] = word
        elif kind == 2 and words:
            data[place:place] = words[int(generator.integers(len(words)))]
        elif kind == 3:
            del data[place : place + length]
        elif kind == 4:
            data[place:place] = data[place : place + length]
        elif kind == 5 and generator.random() < 0.2:
            del data[place:]
        else:
            data[place : place + length] = generator.bytes(length)
    return bytes(data)
