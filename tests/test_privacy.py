"""The pipeline on CTs full of marked identities: no mark gets out, no socket is opened, every file says its limits.

The CTs are in a folder that the user names, below it in folders that he does not name, and he works in a folder that he
does not name either. DICOM objects carry the patient of their study, as a PACS needs it, unless ``--deidentify``.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import logging
import os
import sys
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pydicom
import pytest
import zarr
from hidden_text import holding, layers
from marked_identity import BIRTH_DATE, MARK, marked, marked_ct, text_marks
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom.dataset import FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian
from reportlab.pdfgen.canvas import Canvas

from ctxai.cli import main
from ctxai.ct.header import read_header
from ctxai.data.store import NoduleStore
from ctxai.errors import InputError

from sphere import SPHERE

FORMATS = "nifti,pmap,seg,fractional,sr,sc,pdf,readers"
QUICK = ["--views.pixels", "16", "--backbone.depth", "1", "--optim.epochs", "1", "--accelerator", "cpu"]
QUICK += ["--folds.min_readers", "0", "--folds.training_min_readers", "0"]
NOTICE = b"research use only"
#: Folders and files that the user names, and those that he does not.
TYPED, HIDDEN = "typed-scans", "UnseenDoe"
#: Folders that are written, besides that of deidentified results.
WRITTEN = (
    "store",
    "run",
    "plain",
    "broken-store",
    "prepared",
    "sharded",
    "zipped",
    "bundle",
    "benchmark",
    "pretrained",
)
ATTACHED: list[tuple[str, object]] = []
LISTENING = [False]


def listen(event: str, arguments: tuple) -> None:
    """Python's audit hook: notes every use of the network beyond this machine."""
    if not LISTENING[0]:
        return
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event in {"socket.connect", "socket.sendto"} and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if str(host) not in {"127.0.0.1", "::1", "localhost", "None"}:
        ATTACHED.append((event, host))


sys.addaudithook(listen)


class Flow:
    """What was run, and what was said."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.said = io.StringIO()

    def run(self, *arguments: object, code: int = 0) -> None:
        """Run a stage as a user in the root folder would, keeping every word that it says."""
        with contextlib.redirect_stderr(self.said), contextlib.redirect_stdout(self.said):
            self.said.write(f"$ ctxai {' '.join(map(str, arguments))}\n")
            assert main([*map(str, arguments)]) == code, self.said.getvalue()


@pytest.fixture(scope="module")
def flow(tmp_path_factory) -> Flow:
    """Ingest, train, evaluate, explain with every format, deidentified too, and the faults of beginners."""
    root = tmp_path_factory.mktemp("privacy") / HIDDEN / "work"
    root.mkdir(parents=True)
    flow = Flow(root)
    handler = logging.StreamHandler(flow.said)
    logger = logging.getLogger()
    before, level = Path.cwd(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(root.parent / "configuration"))
        patch.setenv("CTXAI_OFFLINE", "1")
        os.chdir(root)
        LISTENING[0] = True
        try:
            _use_everything(flow)
        finally:
            LISTENING[0] = False
            os.chdir(before)
            logger.removeHandler(handler)
            logger.setLevel(level)
    return flow


def _use_everything(flow: Flow) -> None:
    rows = ["x,y,z,nodule_id,diameter_mm,series_uid,label_malignancy,malignancy,spiculation"]
    for number in range(5):
        uid = marked_ct(Path(TYPED) / f"{HIDDEN}-{number}" / "series", number)
        x, y, z = SPHERE
        for nodule in range(2):
            place, name = f"{x + 6 * nodule},{y},{z}", f"DoeFinding-{number}{nodule}"
            rows.append(f"{place},{name},{8 + 3 * nodule},{uid},{nodule},{2 + 2 * nodule},3")
    Path("points.csv").write_text("\n".join(rows) + "\n")
    flow.run("ingest", TYPED, "store", "--points", "points.csv", "--report")
    store = NoduleStore("store")
    store.write_table(store.table.assign(fold=np.repeat(np.arange(5), 2)))
    flow.run("train", "store", "run", *QUICK)
    flow.run("evaluate", "run", "store")
    one = Path(TYPED) / f"{HIDDEN}-0"
    (Path("one")).symlink_to(one)
    common = ["--run", "run", "--points", "points.csv", "--no-trust"]
    flow.run("explain", "one", "plain", *common, "--formats", FORMATS)
    flow.run("report", "plain")
    flow.run("explain", "one", "clean", *common, "--formats", FORMATS, "--deidentify")
    _use_what_few_use(flow, common)
    _make_mistakes(flow)


def _use_what_few_use(flow: Flow, common: list[str]) -> None:
    """Shards of a prepared tree, an archive, further models, and a PACS that is not there."""
    few = ["--formats", "nifti,seg"]
    prepared = ["ingest", TYPED, "prepared", "--headers", "headers.parquet"]
    flow.run(*prepared, "--points", "points.csv", "--prepare")
    for shard in ("0/2", "1/2"):
        flow.run(*prepared, "--shard", shard)
        flow.run("explain", TYPED, "sharded", *common, *few, "--headers", "headers.parquet", "--shard", shard)
    flow.run("ingest", "--merge", "prepared")
    flow.run("explain", "--merge", "sharded")
    flow.run("verify", "--store", "prepared", "--dicom", TYPED)
    with zipfile.ZipFile("typed.zip", "w") as archive:
        for path in (Path("one") / "series").iterdir():
            archive.write(path, f"{HIDDEN}/{path.name}")
    flow.run("explain", "typed.zip", "zipped", *common, *few, "--patients", "test")
    flow.run("export-bundle", "run", "bundle")
    flow.run("train-diffmask", "run", "store", "--epochs", "1")
    flow.run("benchmark", "run", "store", "benchmark", "--methods", "cdam", "--targets", "malignancy")
    small = ["--optim.epochs", "1", "--optim.batch_size", "4", "--optim.prototypes", "16", "--windows", "2"]
    small += ["--series", str(Path("one") / "series")]
    flow.run("pretrain", "store", "pretrained", *QUICK[:4], *small, "--accelerator", "cpu")
    for peer in (["--dimse", "DEAD@127.0.0.1:9"], ["--dicomweb", "http://127.0.0.1:9/dead"]):
        flow.run("send", "plain", *peer, "--attempts", "1", code=2)
        flow.run("fetch-study", "1.2.3", "fetched", *peer, code=2)


def _make_mistakes(flow: Flow) -> None:
    """What goes wrong in the first hour, each time below a folder that was not named."""
    broken = Path("broken") / HIDDEN
    for name in ("cut", "gap", "misplaced"):
        marked_ct(broken / name, 7, seed=name)
        files = sorted((broken / name).iterdir())
        if name == "cut":
            files[5].write_bytes(files[5].read_bytes()[:-2000])
        elif name == "gap":
            files[9].unlink()
        else:
            image = pydicom.dcmread(files[3])
            image.ImagePositionPatient = [0, 0]
            image.save_as(files[3])
    Path("outside.csv").write_text("x,y,z\n900,0,0\n")
    for name in ("cut", "gap", "misplaced"):
        Path(f"only-{name}").mkdir()
        (Path(f"only-{name}") / f"{HIDDEN}-deep").symlink_to((broken / name).resolve())
    flow.run("ingest", "broken", "broken-store", "--points", "points.csv", code=2)
    flow.run("ingest", "broken", "broken-store", code=2)
    flow.run("verify", "--dicom", "broken", code=2)
    flow.run("explain", "broken", "out", "--points", "outside.csv", "--run", "run", code=2)
    flow.run("explain", "one", "out", "--points", "outside.csv", "--run", "run", code=2)
    Path("near.csv").write_text("x,y,z\n4,-9,17\n")  # beside the slice that is missing
    flow.run("explain", "only-gap", "out", "--points", "near.csv", "--run", "run", code=2)
    flow.run("explain", "one", "out", "--run", "run", code=2)
    flow.run("explain", "one", "plain", "--run", "run", "--points", "points.csv", "--deidentify", code=2)
    flow.run("pretrain", "broken", "nothing", code=2)
    with zipfile.ZipFile("broken.zip", "w") as archive:
        archive.writestr(f"{HIDDEN}.dcm", MARK * 99)
    content = bytearray(Path("broken.zip").read_bytes())
    content[200] ^= 1  # the checksum of the file in it is wrong
    Path("broken.zip").write_bytes(content)
    flow.run("explain", "broken.zip", "out", "--run", "run", "--points", "points.csv", code=2)


def results(flow: Flow, *names: str) -> list[Path]:
    """Files of result folders."""
    return [path for name in names for path in sorted((flow.root / name).rglob("*")) if path.is_file()]


def test_no_identity_gets_out_of_the_dicom_objects(flow):
    marks = (MARK.encode(), BIRTH_DATE.encode())
    for name in WRITTEN:
        assert holding(flow.root / name, marks, exempt=(".dcm",)) == [], name
    assert any(path.suffix == ".dcm" and MARK.encode() in path.read_bytes() for path in results(flow, "plain"))


def test_a_deidentified_result_holds_no_identity_no_date_and_no_uid_at_all(flow):
    ct = [pydicom.dcmread(path) for path in sorted((flow.root / "one" / "series").iterdir())]
    marks = {MARK, BIRTH_DATE, *text_marks()}
    marks |= {str(ct[0][name].value) for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")}
    marks |= {str(image.SOPInstanceUID) for image in ct}
    plain = {path.parent.name for path in (flow.root / "plain").glob("*/explained.json")}
    assert holding(flow.root / "clean", tuple(mark.encode() for mark in (*marks, *plain, "DoeFinding", TYPED))) == []


def test_no_folder_that_the_user_did_not_name_is_told(flow):
    for name in (*WRITTEN, "clean"):
        assert holding(flow.root / name, (HIDDEN.encode(),)) == [], name


def test_no_id_that_can_be_guessed_is_told_by_a_hash(flow):
    """PatientIDs are few enough to try them all, however they are hashed."""
    guessed = [
        hashlib.new(kind, f"{MARK}-{number}".encode()).hexdigest()[:8]
        for kind in ("md5", "sha1", "sha256", "sha512")
        for number in range(5)
    ]
    for name in (*WRITTEN, "clean"):
        assert holding(flow.root / name, tuple(map(str.encode, guessed))) == [], name


def test_no_message_tells_an_identity_or_an_unnamed_folder(flow):
    said = flow.said.getvalue()
    for mark in (MARK, BIRTH_DATE, HIDDEN):
        assert [line for line in said.splitlines() if mark in line] == []
    assert "cut short" in said and "missing slice" in said and "lies outside the CT" in said


def test_no_word_of_a_damaged_header_is_told(tmp_path):
    """Elements that run into others: a position, a UID or a number then holds the text of the next one."""
    marked_ct(tmp_path, 1)
    image = sorted(tmp_path.iterdir())[0]
    content, draw = image.read_bytes(), np.random.default_rng(0)
    end = content.index(b"\xe0\x7f\x10\x00")
    places = [place for place in range(132, end) if content.startswith(MARK.encode(), place)]
    refused = 0
    for _ in range(1500):
        cut, start = int(draw.integers(132, end)), int(draw.choice(places)) - int(draw.integers(0, 9))
        image.write_bytes(content[:cut] + content[start : start + int(draw.integers(9, 40))] + content[cut:])
        try:
            read_header(image)
        except InputError as error:
            refused += 1
            assert MARK not in str(error)
    assert refused > 100


def test_no_stage_touches_the_network(flow):
    assert ATTACHED == []


def test_the_listener_hears_a_connection():
    import socket

    LISTENING[0] = True
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
            probe.connect(("192.0.2.1", 9))  # a datagram socket sends nothing when it connects
    finally:
        LISTENING[0] = False
    assert ATTACHED.pop() == ("socket.connect", "192.0.2.1")


@pytest.mark.parametrize("folder", ["plain", "clean"])
def test_every_file_says_that_it_is_not_for_diagnosis(flow, folder):
    for path in results(flow, folder):
        relative = path.relative_to(flow.root / folder)
        if path.name == "explained.json" or relative.parts[1:3] == ("dicom", "ct"):
            continue  # what a resumed run reads; the scanner's own images
        assert holding(path.parent, (NOTICE,)) and _says(path), relative


@pytest.mark.parametrize("folder", ["store", "run", "benchmark"])
def test_every_page_and_picture_says_so_too(flow, folder):
    found = [path for path in results(flow, folder) if path.suffix in {".png", ".html"}]
    assert found and [path for path in found if not _says(path)] == []


def _says(path: Path) -> bool:
    """Whether one file, opened by what it is for, says "not for diagnosis"."""
    if path.suffix == ".dcm":
        dataset = pydicom.dcmread(path)
        series = str(dataset.SeriesDescription).lower()
        everything = b"".join(layers(path.read_bytes())).lower()
        return NOTICE.decode() in series and b"not for diagnosis" in everything
    if path.name.endswith(".nii.gz"):
        return b"not for diagnosis" in nib.load(path).header["descrip"].item()
    if path.suffix == ".png":
        with Image.open(path) as image:
            return "not for diagnosis" in str(image.info)
    return b"not for diagnosis" in path.read_bytes()


def test_the_search_finds_a_mark_however_it_is_packed(tmp_path):
    mark = marked("anything")
    (tmp_path / "plain.txt").write_text(mark)
    (tmp_path / "packed.gz").write_bytes(gzip.compress(gzip.compress(mark.encode())))
    with zipfile.ZipFile(tmp_path / "packed.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside", mark * 9)
    info = PngInfo()
    info.add_text("Comment", mark, zip=True)
    Image.new("L", (3, 3)).save(tmp_path / "picture.png", pnginfo=info)
    canvas = Canvas(str(tmp_path / "page.pdf"))
    canvas.drawString(9, 9, mark)
    canvas.save()
    (tmp_path / "page.html").write_text(f"<!doctype html>{b64(gzip.compress(mark.encode() * 9))}")
    pyarrow.parquet.write_table(pa.table({"a": [mark]}), tmp_path / "table.parquet")
    letters = np.frombuffer(mark.encode() * 50, dtype=np.uint8)
    zarr.create_array(tmp_path / "array.zarr", data=letters)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = meta.MediaStorageSOPInstanceUID = "1.2.3"
    image = pydicom.Dataset()
    image.file_meta, image.PatientName = meta, mark
    image.save_as(tmp_path / "deflated.dcm", enforce_file_format=True)
    (tmp_path / mark).mkdir()
    files = {name.partition(":")[0].partition("/")[0] for name in holding(tmp_path, (MARK.encode(),))}
    assert files == {path.name for path in tmp_path.iterdir()}


def b64(data: bytes) -> str:
    """Base64 as an HTML page holds it."""
    import base64

    return base64.b64encode(data).decode()
