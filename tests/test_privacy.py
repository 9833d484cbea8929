"""The pipeline on CTs full of marked identities: no mark gets out, no socket is opened, every file says its limits.

The CTs are in a folder that the user names, below it in folders that he does not name, and he works in a folder that he
does not name either. DICOM objects carry the patient of their study, as a PACS needs it, unless ``--deidentify``.
"""

from __future__ import annotations

import contextlib
import gzip
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
from hidden_text import holding
from marked_identity import BIRTH_DATE, MARK, marked, marked_ct, text_marks
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from reportlab.pdfgen.canvas import Canvas
from stages.conftest import SPHERE

from ctxai.cli import main
from ctxai.data.store import NoduleStore

FORMATS = "nifti,pmap,seg,fractional,sr,sc,pdf,readers"
QUICK = ["--views.pixels", "16", "--backbone.depth", "1", "--optim.epochs", "1", "--accelerator", "cpu"]
QUICK += ["--folds.min_readers", "0", "--folds.training_min_readers", "0"]
NOTICE = b"research use only"
#: Folders and files that the user names, and those that he does not.
TYPED, HIDDEN = "typed-scans", "UnseenDoe"
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
    common = ["--run", "run", "--points", "points.csv", "--formats", FORMATS, "--no-trust"]
    flow.run("explain", "one", "plain", *common)
    flow.run("report", "plain")
    flow.run("explain", "one", "clean", *common, "--deidentify")
    _make_mistakes(flow)


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
    flow.run("explain", "one", "out", "--run", "run", code=2)
    flow.run("explain", "one", "plain", "--run", "run", "--points", "points.csv", "--deidentify", code=2)
    flow.run("pretrain", "broken", "pretrained", code=2)


def results(flow: Flow, *names: str) -> list[Path]:
    """Files of result folders."""
    return [path for name in names for path in sorted((flow.root / name).rglob("*")) if path.is_file()]


def test_no_identity_gets_out_of_the_dicom_objects(flow):
    marks = (MARK.encode(), BIRTH_DATE.encode())
    for name in ("store", "run", "plain", "broken-store"):
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
    for name in ("store", "run", "plain", "clean", "broken-store"):
        assert holding(flow.root / name, (HIDDEN.encode(),)) == [], name


def test_no_message_tells_an_identity_or_an_unnamed_folder(flow):
    said = flow.said.getvalue()
    for mark in (MARK, BIRTH_DATE, HIDDEN):
        assert [line for line in said.splitlines() if mark in line] == []
    assert "cut short" in said and "missing slice" in said and "lies outside the CT" in said


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


def _says(path: Path) -> bool:
    """Whether one file, opened by what it is for, says "not for diagnosis"."""
    if path.suffix == ".dcm":
        dataset = pydicom.dcmread(path)
        series = str(dataset.SeriesDescription).lower()
        everything = path.read_bytes().lower()
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
    (tmp_path / mark).mkdir()
    files = {name.partition(":")[0].partition("/")[0] for name in holding(tmp_path, (MARK.encode(),))}
    assert files == {path.name for path in tmp_path.iterdir()}


def b64(data: bytes) -> str:
    """Base64 as an HTML page holds it."""
    import base64

    return base64.b64encode(data).decode()
