"""A short sample of the fuzzing of ``make fuzz``: a fixed number of changed inputs, the same every time."""

import io
import pickle
import re
import struct
import zipfile
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from faults.fuzz_targets import TARGETS, changed, execute

#: Executions of every target in every test run; long runs are those of ``make fuzz``.
SAMPLE = 300


@pytest.mark.parametrize("name", TARGETS)
def test_every_changed_input_gets_an_answer(tmp_path, name):
    target, random = TARGETS[name], Random(20)
    seeds = target.seeds()
    for number in range(SAMPLE):
        data = changed(target, seeds[number % len(seeds)], random)
        try:
            execute(target, data, tmp_path)
        except Exception as error:
            (tmp_path / "input").write_bytes(data)
            raise AssertionError(f"{name}: {tmp_path / 'input'}") from error


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_are_sound_so_that_changes_reach_deep(tmp_path, name):
    for seed in TARGETS[name].seeds():
        TARGETS[name].run(seed, tmp_path)


def crash_of_a_native_reader(image: bytes) -> bytes:
    """A data element whose length runs over the end of the file, behind sound pixels."""
    return image + b"\xfc\xff\xfc\xffOB\0\0" + struct.pack("<I", 0x7FFFFFF0) + b"\0" * 4


def saved(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def zipped(name: str, method: int = zipfile.ZIP_STORED) -> bytes:
    """An archive of one member."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(zipfile.ZipInfo(name), b"0123456789", method)
    return file.getvalue()


def metaimage(line: str) -> bytes:
    """A MetaImage file, one of whose lines is another."""
    (_, image) = TARGETS["metaimage"].seeds()
    name = line.partition(" ")[0].encode()
    return re.sub(rb"(?m)^%b .*$" % name, line.encode(), image, count=1)


def called_storage() -> bytes:
    """A checkpoint of torch's old format that calls its numbers as if they were a function."""
    file = io.BytesIO()
    torch.save({"a": torch.zeros(1)}, file, _use_new_zipfile_serialization=False)
    return file.getvalue().replace(b"Q", b"Q)R", 1)


def table_described_as(text: str) -> bytes:
    """A store's table with what pandas should know of it."""
    file = io.BytesIO()
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({"pandas": text}), file)
    return b"\x01" + file.getvalue()


#: The description of a store's array, behind the byte that says so.
ARRAY = TARGETS["store"].seeds()[3]

#: What fuzzing found, as the smallest inputs that show it.
FOUND: list[tuple[str, str, bytes]] = [
    ("archive", "a member without a name", zipped("\0")),
    ("archive", "damaged bzip2", zipped("a", zipfile.ZIP_BZIP2).replace(b"BZh", b"BZx")),
    ("archive", "damaged LZMA", zipped("a", zipfile.ZIP_LZMA).replace(b"\x5d\0\0", b"\xff\0\0")),
    ("archive", "a directory before its own beginning", zipped("a")[:-6] + b"\xff\xff\xff\x7f\0\0"),
    ("metaimage", "voxels of another type than a CT's", metaimage("ElementType = MET_UCHAR")),
    ("metaimage", "axes beyond any number", metaimage("TransformMatrix = 1e308 1e308 0 0 1 0 0 0 1")),
    ("points", "a line that ends early", b"x,y,z,nodule_id\n1,2,3\n1,2\n"),
    ("points", "a line of more values than columns", b"x,y,z\n1,2,3,4\n"),
    ("markups", "markups nested without end", b"[" * 100_000),
    ("checkpoint", "a checkpoint that is a list", pickle.dumps([1])),
    ("checkpoint", "weights whose names are no texts", saved({"teacher": {True: torch.zeros(1)}})),
    ("checkpoint", "a checkpoint cut in its zip header", b"PK\x03\x04" + b"\0" * 20),
    ("checkpoint", "numbers that are called, of which torch warns", called_storage()),
    ("config", "a configuration that is not UTF-8", b"\x9a\xff"),
    ("config", "a configuration without views", b"views: {hu_window: []}"),
    ("config", "targets that are lists", b"targets: [[malignancy], 1]"),
    ("config", "more blocks than any memory holds", b"backbone: {depth: 99999999999}"),
    ("store", "a group that is a number", b"\x02-1"),
    (
        "store",
        "arrays in chunks of nothing",
        ARRAY.replace(b'"chunk_shape": [\n        1,', b'"chunk_shape": [\n        0,'),
    ),
    ("store", "a table whose description for pandas is damaged", table_described_as("{}")),
    ("store", "a layout nested without end", b"\0" + b"[" * 100_000),
    ("run", "an unreadable table of predictions", b'\x03a,b\n"1,2\n\xff'),
    ("run", "a table of predictions of blanks", b"\x03\n\n\n"),
]


@pytest.mark.parametrize(
    ("name", "data"), [(name, data) for name, _, data in FOUND], ids=[label for _, label, _ in FOUND]
)
def test_what_fuzzing_found_gets_an_answer(tmp_path, name, data):
    execute(TARGETS[name], data, tmp_path)


def test_bytes_behind_the_pixels_do_not_matter(tmp_path: Path):
    (image, *_) = TARGETS["series"].seeds()
    TARGETS["series"].run(crash_of_a_native_reader(image), tmp_path)
