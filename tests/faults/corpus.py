"""Every fault worth fearing, by name: how a good input is broken, and what ctxai promises to do about it.

``docs/reliability.md`` shows this table; a test compares the two.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
import pydicom
import torch
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from ctxai.ct.damage import without_warnings
from ctxai.lidc.database import RATINGS

from cohorts import sphere_store
from runs import untrained_run
from synthetic_ct import ct_grid, write_ct

GRID = ct_grid((12, 32, 40), (0.7, 0.8, 2.5))
#: What no message and no file beside DICOM may hold.
SECRET = "SECRET^PATIENT"


class Promise(StrEnum):
    """What ctxai does with a fault."""

    READ = "read as it is"
    REPAIRED = "repaired or left out, and reported"
    REFUSED = "refused in one line"


@dataclass
class Inputs:
    """Good inputs of every stage in one folder, for a fault to break."""

    folder: Path
    points: Path = field(init=False)
    given: str = "ct"
    options: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.points = self.folder / "points.csv"

    @property
    def ct(self) -> Path:
        return self.folder / "ct"

    @property
    def images(self) -> list[Path]:
        return sorted(self.ct.glob("0*.dcm"))

    @without_warnings()
    def edit(self, *numbers: int, **attributes: object) -> None:
        """Change attributes of some images (all without a number), without a word from pydicom."""
        for path in [self.images[number] for number in numbers] or self.images:
            dataset = pydicom.dcmread(path)
            for keyword, value in attributes.items():
                if value is None:
                    dataset.pop(keyword, None)
                else:
                    element = pydicom.DataElement(
                        pydicom.datadict.tag_for_keyword(keyword),
                        pydicom.datadict.dictionary_VR(keyword),
                        value,
                        validation_mode=pydicom.config.IGNORE,
                    )
                    dataset[element.tag] = element
            dataset.save_as(path)

    def command(self, stage: str, out: Path) -> list[str]:
        """The stage's command line on these inputs."""
        given = str(self.folder / self.given)
        if stage == "ingest":
            source = [] if "--xml" in self.options else ["--points", str(self.points)]
            return ["ingest", given, str(out), *source, *self.options]
        if stage == "explain":
            run = str(self.folder / "run")
            formats = [] if "--formats" in self.options else ["--formats", "nifti"]
            return [
                *("explain", given, str(out), "--run", run, "--points", str(self.points), "--no-trust"),
                *("--views", "axial", *formats, *self.options),
            ]
        if stage == "verify":
            return ["verify", "--store", str(self.folder / "store")]
        weights = ["--backbone.weights", str(self.folder / self.given)]
        return [
            "train",
            str(self.folder / "store"),
            str(out),
            "--backbone.depth",
            "1",
            "--views.views",
            '["axial"]',
            *weights,
        ]


def make_inputs(folder: Path) -> Inputs:
    """A good series of 12 slices with one point, a run and a store."""
    hu = np.random.default_rng(0).integers(-1000, 400, GRID.shape).astype(np.int16)
    write_ct(folder / "ct", hu, GRID, attributes={"PatientName": SECRET, "PatientID": SECRET})
    (folder / "points.csv").write_text("x,y,z\n{},{},{}\n".format(*GRID.centre))
    untrained_run().save(folder / "run")
    sphere_store(folder / "store", 10, depth=1)
    return Inputs(folder)


@dataclass(frozen=True)
class Case:
    """A fault and what is promised.

    Attributes:
        damage: breaks the inputs.
        promises: by stage, the promise and words of the message or of the report.
        alone: runs in a process of its own, whose memory is measured.
    """

    damage: Callable[[Inputs], None]
    promises: dict[str, tuple[Promise, str]]
    alone: bool = False

    @property
    def name(self) -> str:
        return self.damage.__name__.replace("_", " ")


CASES: list[Case] = []


def case(alone: bool = False, **promises: tuple[Promise, str]) -> Callable:
    """Put a fault into the table."""

    def register(damage: Callable[[Inputs], None]) -> Callable[[Inputs], None]:
        CASES.append(Case(damage, promises, alone))
        return damage

    return register


READ, REPAIRED, REFUSED = Promise.READ, Promise.REPAIRED, Promise.REFUSED


def image(words: str, explain: str = "missing slice") -> dict[str, tuple[Promise, str]]:
    """One image of the middle is bad: ingestion bridges the gap that it leaves, overlays need every slice."""
    return {"ingest": (REPAIRED, words), "explain": (REFUSED, explain)}


def whole(words: str) -> dict[str, tuple[Promise, str]]:
    """The series is refused by both stages."""
    return {"ingest": (REFUSED, words), "explain": (REFUSED, words)}


# Files -------------------------------------------------------------------------------------------------------------


@case(**image("cut short"))
def truncated_pixels(i: Inputs) -> None:
    i.images[5].write_bytes(i.images[5].read_bytes()[:-200])


@case(**image("missing slice"))
def truncated_in_its_header(i: Inputs) -> None:
    i.images[5].write_bytes(i.images[5].read_bytes()[:700])


@case(**image("missing slice"))
def zero_length_file(i: Inputs) -> None:
    i.images[5].write_bytes(b"")


@case(explain=(REPAIRED, "cut short"))
def truncated_last_image(i: Inputs) -> None:
    i.images[-1].write_bytes(i.images[-1].read_bytes()[:-200])


@case(**image("missing slice"))
def noise_instead_of_an_image(i: Inputs) -> None:
    i.images[5].write_bytes(np.random.default_rng(1).bytes(5000))


@case(**image("damaged"))
def lying_element_length(i: Inputs) -> None:
    data = bytearray(i.images[5].read_bytes())
    place = data.index(b"\x10\x00\x10\x00PN")
    data[place + 6 : place + 8] = b"\xff\xff"
    i.images[5].write_bytes(data)


@case(**image("damaged"))
def deeply_nested_sequences(i: Inputs) -> None:
    data = i.images[5].read_bytes()
    place = data.index(b"\x10\x00\x10\x00PN")
    opened = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    i.images[5].write_bytes(data[:place] + opened * 5000 + data[place:])


@case(ingest=(READ, ""), explain=(READ, ""))
def other_files_beside_the_images(i: Inputs) -> None:
    (i.ct / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (i.ct / "notes.txt").write_text("x")
    (i.ct / "thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" * 100)


@case(ingest=(READ, ""), explain=(READ, ""))
def symlink_loop(i: Inputs) -> None:
    (i.ct / "loop").symlink_to(i.ct)
    (i.ct / "itself").symlink_to(i.ct / "itself")


@case(ingest=(READ, ""), explain=(READ, ""))
def symlink_that_leads_outside(i: Inputs) -> None:
    outside = i.folder / "outside"
    outside.mkdir()
    (outside / "notes.txt").write_text("x")
    (i.ct / "out").symlink_to(outside)
    (i.ct / "host").symlink_to("/etc/hostname")


# Coding ------------------------------------------------------------------------------------------------------------


@case(**image("missing slice"))
def wrong_transfer_syntax(i: Inputs) -> None:
    data = i.images[5].read_bytes()
    i.images[5].write_bytes(data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0"))


@case(**image("damaged"))
def no_transfer_syntax(i: Inputs) -> None:
    data = i.images[5].read_bytes()
    place = data.index(b"\x02\x00\x10\x00UI")
    i.images[5].write_bytes(data[:place] + data[place + 28 :])


def _save_all(i: Inputs, syntax: pydicom.uid.UID) -> None:
    for path in i.images:
        dataset = pydicom.dcmread(path)
        pixels = dataset.pixel_array
        if syntax == ExplicitVRBigEndian:
            dataset = pydicom.Dataset({element.tag: element for element in dataset})  # forgets how it was coded
            dataset.file_meta = pydicom.dcmread(path).file_meta
            dataset.PixelData = pixels.astype(">i2").tobytes()
        if syntax.is_encapsulated:
            dataset.compress(syntax, pixels, generate_instance_uid=False)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(
            path, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian, enforce_file_format=True
        )


@case(ingest=(READ, ""), explain=(READ, ""))
def big_endian(i: Inputs) -> None:
    _save_all(i, ExplicitVRBigEndian)


@case(ingest=(READ, ""))
def implicit_vr(i: Inputs) -> None:
    _save_all(i, ImplicitVRLittleEndian)


@case(ingest=(READ, ""))
def deflated(i: Inputs) -> None:
    _save_all(i, DeflatedExplicitVRLittleEndian)


@case(ingest=(READ, ""))
def run_length_coded(i: Inputs) -> None:
    _save_all(i, RLELossless)


@case(**whole("cannot be decoded"))
def compressed_frames_cut_short(i: Inputs) -> None:
    _save_all(i, JPEG2000Lossless)
    data = i.images[5].read_bytes()
    i.images[5].write_bytes(data[: len(data) - 1500])


@case(**whole("cannot be decoded"))
def runs_cut_short(i: Inputs) -> None:
    _save_all(i, RLELossless)
    data = i.images[5].read_bytes()
    i.images[5].write_bytes(data[: len(data) - 1500])


@case(alone=True, ingest=(REPAIRED, "inflates to more than"))
def deflate_bomb(i: Inputs) -> None:
    _save_all(i, DeflatedExplicitVRLittleEndian)
    dataset = pydicom.dcmread(i.images[5])
    file = io.BytesIO()
    pydicom.filewriter.write_file_meta_info(file, dataset.file_meta)
    deflate = zlib.compressobj(9, wbits=-15)
    part = deflate.compress(bytes(2**24)) + deflate.flush(zlib.Z_FULL_FLUSH)  # can be repeated
    i.images[5].write_bytes(b"\0" * 128 + b"DICM" + file.getvalue() + part * 2**9 + deflate.flush())  # 8 GiB


@case(alone=True, **whole("cannot be decoded"))
def jpeg_2000_that_claims_a_huge_image(i: Inputs) -> None:
    _save_all(i, JPEG2000Lossless)
    data = bytearray(i.images[5].read_bytes())
    size = data.index(b"\xff\x51") + 6  # the SIZ marker's width and height, of the image and of its tile
    data[size : size + 8] = struct.pack(">II", 60000, 60000)
    data[size + 16 : size + 24] = struct.pack(">II", 60000, 60000)
    i.images[5].write_bytes(data)


# Attributes --------------------------------------------------------------------------------------------------------


@case(**image("Rows is 0"))
def image_of_no_rows(i: Inputs) -> None:
    i.edit(5, Rows=0, Columns=0)


@case(**image("Rows is 65535"))
def image_of_65535_rows_and_columns(i: Inputs) -> None:
    i.edit(5, Rows=65535, Columns=65535)


@case(alone=True, ingest=(REPAIRED, "Rows is 65535"))
def sparse_file_of_65535_rows_and_columns(i: Inputs) -> None:
    i.edit(5, Rows=65535, Columns=65535)
    os.truncate(i.images[5], 2 * 65535**2 + 5000)


@case(**image("NumberOfFrames is 2000000000"))
def two_thousand_million_frames(i: Inputs) -> None:
    i.edit(5, NumberOfFrames="2000000000")


@case(**image("SamplesPerPixel is 3"))
def colour_image(i: Inputs) -> None:
    i.edit(5, SamplesPerPixel=3)


@case(**image("BitsAllocated is 0"))
def no_bits_allocated(i: Inputs) -> None:
    i.edit(5, BitsAllocated=None)


@case(**image("ImagePositionPatient"))
def no_position(i: Inputs) -> None:
    i.edit(5, ImagePositionPatient=None)


@case(**image("ImagePositionPatient"))
def position_that_is_no_number(i: Inputs) -> None:
    i.edit(5, ImagePositionPatient=["nan", "inf", "0"])


@case(**image("further than"))
def position_beyond_any_room(i: Inputs) -> None:
    i.edit(5, ImagePositionPatient=["0", "0", "1e300"])


@case(**image("PixelSpacing"))
def negative_spacing(i: Inputs) -> None:
    i.edit(5, PixelSpacing=["-0.7", "0.7"])


@case(**image("PixelSpacing"))
def spacing_of_almost_nothing(i: Inputs) -> None:
    i.edit(5, PixelSpacing=["1e-300", "1e-300"])


@case(**image("ImageOrientationPatient"))
def orientation_of_zeros(i: Inputs) -> None:
    i.edit(5, ImageOrientationPatient=["0"] * 6)


@case(**whole("unknown rescale"))
def no_rescale(i: Inputs) -> None:
    i.edit(RescaleSlope=None)


@case(**image("RescaleSlope is 0"))
def rescale_slope_of_zero(i: Inputs) -> None:
    i.edit(5, RescaleSlope="0")


@case(ingest=(READ, ""), explain=(READ, ""))
def rescale_slope_of_1e300(i: Inputs) -> None:
    i.edit(5, RescaleSlope="1e300")


@case(ingest=(READ, ""), explain=(READ, ""))
def instance_number_that_is_infinite(i: Inputs) -> None:
    data = i.images[5].read_bytes()
    place = data.index(b"\x20\x00\x13\x00IS\x02\x00")
    i.images[5].write_bytes(data[:place] + b"\x20\x00\x13\x00IS\x04\x00inf " + data[place + 10 :])


# Geometry ----------------------------------------------------------------------------------------------------------


@case(**image("missing slice"))
def missing_slice(i: Inputs) -> None:
    i.images[5].unlink()


@case(ingest=(REPAIRED, "duplicated position"), explain=(REFUSED, "duplicated position"))
def duplicated_slice(i: Inputs) -> None:
    shutil.copy(i.images[5], i.ct / "099.dcm")


@case(**whole("single slice"))
def single_slice(i: Inputs) -> None:
    for path in i.images[1:]:
        path.unlink()


@case(ingest=(REPAIRED, "localizer"), explain=(READ, ""))
def localizer(i: Inputs) -> None:
    shutil.copy(i.images[0], i.ct / "099.dcm")
    i.edit(12, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], ImageOrientationPatient=["1", "0", "0", "0", "0", "-1"])


@case(**whole("no CT slice besides localizers"))
def nothing_but_localizers(i: Inputs) -> None:
    i.edit(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])


@case(ingest=(REPAIRED, "tilt"), explain=(READ, ""))
def gantry_tilt(i: Inputs) -> None:
    for number in range(12):
        x, y, z = pydicom.dcmread(i.images[number]).ImagePositionPatient
        i.edit(number, ImagePositionPatient=[str(x), f"{y + 0.2 * (z + 120):.6f}", str(z)])


@case(**whole("mixed orientation"))
def mixed_orientation(i: Inputs) -> None:
    i.edit(5, ImageOrientationPatient=["0", "1", "0", "1", "0", "0"])


@case(**whole("mixed size"))
def mixed_pixel_spacing(i: Inputs) -> None:
    i.edit(5, PixelSpacing=["0.5", "0.5"])


@case(**whole("shifted slices"))
def shifted_slice(i: Inputs) -> None:
    x, y, z = pydicom.dcmread(i.images[5]).ImagePositionPatient
    i.edit(5, ImagePositionPatient=[str(x + 9), str(y), str(z)])


@case(**whole("wrong modality"))
def images_that_say_mr(i: Inputs) -> None:
    i.edit(Modality="MR")


@case(**whole("mixed patients"))
def one_series_uid_for_two_patients(i: Inputs) -> None:
    i.edit(5, PatientID="SOMEBODY ELSE")


@case(ingest=(REFUSED, "expected one of the 2 series found"), explain=(READ, ""))
def two_patients_in_one_folder(i: Inputs) -> None:
    hu = np.zeros(GRID.shape, np.int16)
    write_ct(
        i.ct / "other", hu, GRID, seed="other", attributes={"PatientID": "SOMEBODY ELSE", "StudyInstanceUID": "1.2"}
    )


# Texts -------------------------------------------------------------------------------------------------------------

HOSTILE = {
    "path": "../../x",
    "nul": "1.2\0.3",
    "long": "1." * 5000 + "1",
    "script": "<script>alert(1)</script>",
    "escape": "\x1b]0;x\x07\x1b[2J",
    "formula": "=cmd|'/c calc'!A0",
}


def _hostile_uid(kind: str) -> None:
    def damage(i: Inputs) -> None:
        i.edit(SeriesInstanceUID=HOSTILE[kind])

    damage.__name__ = f"series_uid_of_{kind}"
    case(ingest=(REFUSED, "no DICOM CT image"), explain=(REFUSED, "no DICOM CT image"))(damage)


def _hostile_text(kind: str) -> None:
    def damage(i: Inputs) -> None:
        text = HOSTILE[kind]
        i.edit(
            PatientName=text,
            PatientID=text,
            Manufacturer=text,
            StudyID=text,
            AccessionNumber=text,
            SeriesDescription=text,
            StudyDate=text,
        )
        i.options = ["--formats", "nifti,seg,sr"]

    damage.__name__ = f"every_text_of_{kind}"
    case(explain=(READ, ""))(damage)


for _kind in HOSTILE:
    _hostile_uid(_kind)
for _kind in ("path", "long", "script", "escape"):
    _hostile_text(_kind)


@case(ingest=(READ, ""), explain=(READ, ""))
def names_in_every_script(i: Inputs) -> None:
    i.edit(SpecificCharacterSet="ISO_IR 192", PatientName="山田^太郎=Müller^Ärzte", Manufacturer="Ж☃")


@case(explain=(REFUSED, "FrameOfReferenceUID"))
def frame_of_reference_that_is_no_uid(i: Inputs) -> None:
    i.edit(FrameOfReferenceUID="../../x")
    i.options = ["--formats", "seg"]


@case(explain=(READ, ""))
def character_set_that_does_not_exist(i: Inputs) -> None:
    i.edit(SpecificCharacterSet="ISO_IR 999")


# Archives ----------------------------------------------------------------------------------------------------------


def _zip(i: Inputs, names: Callable[[Path], str] = lambda path: path.name) -> Path:
    i.given = "ct.zip"
    with zipfile.ZipFile(i.folder / "ct.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in i.images:
            archive.write(path, names(path))
    return i.folder / "ct.zip"


@case(explain=(READ, ""))
def zip_slip(i: Inputs) -> None:
    _zip(i, lambda path: f"../../../{path.name}")


@case(explain=(REFUSED, "cannot be unpacked"))
def damaged_zip(i: Inputs) -> None:
    data = bytearray(_zip(i).read_bytes())
    data[200:260] = bytes(60)
    (i.folder / "ct.zip").write_bytes(data)


@case(explain=(REFUSED, "GiB unpacked"))
def zip_that_claims_a_terabyte(i: Inputs) -> None:
    data = bytearray(_zip(i).read_bytes())
    place = data.index(b"PK\x01\x02")
    data[place + 24 : place + 28] = struct.pack("<I", 0xFFFFFFF0)
    for _ in range(6):
        place = data.index(b"PK\x01\x02", place + 4)
        data[place + 24 : place + 28] = struct.pack("<I", 0xFFFFFFF0)
    (i.folder / "ct.zip").write_bytes(data)


@case(alone=True, explain=(REFUSED, "times its size"))
def zip_bomb(i: Inputs) -> None:
    i.given = "ct.zip"
    with (
        zipfile.ZipFile(i.folder / "ct.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        archive.open("a.dcm", "w", force_zip64=True) as member,
    ):
        for _ in range(300):
            member.write(bytes(2**20))


# Annotations -------------------------------------------------------------------------------------------------------


def _xml(i: Inputs, text: str) -> None:
    (i.folder / "annotation.xml").write_text(text)
    i.options = ["--xml", str(i.folder / "annotation.xml")]


def _annotation(i: Inputs, edge: str) -> str:
    first = pydicom.dcmread(i.images[5])
    ratings = "".join(f"<{name}>3</{name}>" for name in RATINGS)
    return (
        '<?xml version="1.0"?><LidcReadMessage xmlns="http://www.nih.gov"><ResponseHeader><SeriesInstanceUid>'
        f"{first.SeriesInstanceUID}</SeriesInstanceUid></ResponseHeader><readingSession><unblindedReadNodule>"
        f"<noduleID>1</noduleID><characteristics>{ratings}</characteristics><roi><imageZposition>"
        f"{first.ImagePositionPatient[2]}</imageZposition><imageSOP_UID>{first.SOPInstanceUID}</imageSOP_UID>"
        f"<inclusion>TRUE</inclusion>{edge}</roi></unblindedReadNodule></readingSession></LidcReadMessage>"
    )


def _edge(*points: tuple[int, int]) -> str:
    return "".join(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in points)


@case(ingest=(REFUSED, "EntitiesForbidden"))
def xml_of_a_billion_laughs(i: Inputs) -> None:
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    _xml(i, f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY l0 "lol">{entities}]><a>&l9;</a>')


@case(ingest=(REFUSED, "EntitiesForbidden"))
def xml_that_names_a_file(i: Inputs) -> None:
    _xml(i, '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>')


@case(ingest=(REFUSED, "ParseError"))
def xml_that_ends_early(i: Inputs) -> None:
    _xml(i, "<LidcReadMessage>")


@case(alone=True, ingest=(REFUSED, "lies outside"))
def outline_as_wide_as_two_thousand_million_pixels(i: Inputs) -> None:
    _xml(i, _annotation(i, _edge((2, 2), (2**31 - 9, 2), (2**31 - 9, 2**31 - 9))))


@case(ingest=(REFUSED, "lies outside"))
def outline_beyond_the_image(i: Inputs) -> None:
    _xml(i, _annotation(i, _edge((-7, -7), (60, 2), (60, 60))))


@case(ingest=(REFUSED, "OverflowError"))
def outline_of_numbers_without_end(i: Inputs) -> None:
    _xml(i, _annotation(i, _edge((10**30, 2), (3, 4))))


# Points ------------------------------------------------------------------------------------------------------------


def _points(name: str, content: str | bytes, words: str) -> None:
    def damage(i: Inputs) -> None:
        i.points.write_bytes(content if isinstance(content, bytes) else content.encode())

    damage.__name__ = name
    case(explain=(REFUSED, words))(damage)


_points("points_that_are_no_numbers", "x,y,z\nnan,0,0\n", "line 2")
_points("points_outside_the_ct", "x,y,z\n900,0,0\n", "lies outside the CT")
_points("points_of_1e308", "x,y,z\n1e308,1e308,1e308\n", "lies outside the CT")
_points("points_with_wrong_columns", "a,b\n1,2\n", "no column x, y, z")
_points("points_with_a_column_twice", "x,y,z,X\n1,2,3,4\n", "more than once")
_points("points_with_short_lines", "x,y,z,nodule_id\n1,2\n", "line 2")
_points("points_in_binary", np.random.default_rng(0).bytes(4000), "not a CSV file")
_points("points_with_a_hostile_name", "x,y,z,nodule_id\n0,0,0,../../x\n", "letters, digits")
_points("points_with_nul", "x,y,z,nodule_id\n0,0,0,a\0b\n", "letters, digits")
_points("points_without_a_line", "x,y,z\n", "holds no point")
_points("points_of_an_empty_file", "", "not a CSV file")


@case(alone=True, explain=(REFUSED, "more than any list of points"))
def points_of_a_gigabyte(i: Inputs) -> None:
    i.points.write_text("x,y,z\n0,0,0\n")
    os.truncate(i.points, 2**30)


@case(explain=(REFUSED, "not a Slicer markups file"))
def markups_nested_without_end(i: Inputs) -> None:
    i.points = i.folder / "points.mrk.json"
    i.points.write_text("[" * 100_000)


# Weights and runs --------------------------------------------------------------------------------------------------


class _Payload:
    def __reduce__(self) -> tuple:
        return (os.system, ("touch pwned",))


@case(train=(REFUSED, "nothing is unpickled"))
def pickle_posing_as_weights(i: Inputs) -> None:
    i.given = "evil.pth"
    (i.folder / i.given).write_bytes(pickle.dumps(_Payload(), protocol=2))


@case(train=(REFUSED, "nothing is unpickled"))
def pickle_in_a_checkpoint(i: Inputs) -> None:
    i.given = "evil.pth"
    torch.save({"model": _Payload()}, i.folder / i.given)


@case(train=(REFUSED, "nothing is unpickled"))
def pickle_named_safetensors(i: Inputs) -> None:
    i.given = "evil.safetensors"
    (i.folder / i.given).write_bytes(pickle.dumps(_Payload(), protocol=2))


@case(train=(REFUSED, "expected weights by name"))
def checkpoint_of_a_list(i: Inputs) -> None:
    i.given = "list.pth"
    torch.save([1, 2], i.folder / i.given)


@case(train=(REFUSED, "cannot be read as plain tensors"))
def checkpoint_cut_short(i: Inputs) -> None:
    i.given = "cut.pth"
    torch.save({"a": torch.zeros(1000)}, i.folder / i.given)
    os.truncate(i.folder / i.given, 700)


def _run_file(name: str, content: bytes | None, words: str, label: str) -> None:
    def damage(i: Inputs) -> None:
        if content is None:
            (i.folder / "run" / name).unlink()
        else:
            (i.folder / "run" / name).write_bytes(content)

    damage.__name__ = f"run_{label}_{name}"
    case(explain=(REFUSED, words))(damage)


for _name in ("config.yaml", "weights.safetensors", "calibration.json", "provenance.json", "metrics.json"):
    _run_file(_name, None, f"{_name} is missing", "without")
_run_file("weights.safetensors", b"\0" * 900, "checksum", "with_damaged")
_run_file("config.yaml", b"\xff\xfe\x9a", "damaged or of another version", "with_binary")
_run_file("config.yaml", b"!!python/object/apply:os.system ['touch pwned']", "damaged or of another", "with_code_in")
_run_file("config.yaml", b"views: {views: []}", "views", "with_no_views_in")
_run_file("calibration.json", b'{"slope": NaN}', "calibration.json", "with_no_numbers_in")
_run_file("provenance.json", b"[" * 100_000, "not JSON", "with_endless")
_run_file("metrics.json", b"\xff\xfe", "not JSON", "with_binary")
_run_file("predictions.csv", b'a,b\n"1,2\n\xff', "not a CSV file", "with_damaged")
_run_file("novelty.safetensors", b"\0" * 900, "novelty.safetensors: damaged", "with_damaged")


# Stores ------------------------------------------------------------------------------------------------------------


def flip_a_bit(path: Path, place: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(place * (len(data) - 1))] ^= 0x10
    path.write_bytes(data)


def _store_file(label: str, pattern: str, words: str, place: float = 0.5) -> None:
    def damage(i: Inputs) -> None:
        flip_a_bit(next(path for path in sorted((i.folder / "store").glob(pattern)) if path.is_file()), place)

    damage.__name__ = f"flipped_bit_in_{label}"
    case(verify=(REFUSED, words))(damage)


for _name in ("hu", "agreement", "valid"):
    _store_file(f"a_patch_of_{_name}", f"patches.zarr/{_name}/c/3/0/0/0", f"{_name} of row 3 cannot be read")
_store_file("a_checksum", "patches.zarr/hu/c/3/0/0/0", "hu of row 3 cannot be read", 1.0)
_store_file("the_arrays_description", "patches.zarr/hu/zarr.json", "damaged", 0.0)
_store_file("the_group", "patches.zarr/zarr.json", "damaged", 0.0)
_store_file("the_layout", "layout.json", "damaged", 0.0)
_store_file("the_table", "nodules.parquet", "damaged", 0.02)
_store_file("the_tables_end", "nodules.parquet", "damaged", 1.0)


@case(verify=(REFUSED, "damaged"))
def layout_that_is_a_list(i: Inputs) -> None:
    (i.folder / "store" / "layout.json").write_text(json.dumps([1]))


@case(verify=(REFUSED, "damaged"))
def layout_of_a_thousand_million_rows(i: Inputs) -> None:
    path = i.folder / "store" / "layout.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rows": 10**9}))
