"""A short sample of the fuzzing of ``make fuzz``: a fixed number of changed inputs, the same every time."""

import io
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from faults.fuzz_targets import TARGETS, execute, mutated

#: Executions in every test run; long runs are those of ``make fuzz``.
SAMPLE = {"series": 150, "annotation": 300, "points": 150, "checkpoint": 200, "run": 40}


@pytest.mark.parametrize("name", TARGETS)
def test_every_changed_input_gets_an_answer(tmp_path, name):
    target, generator = TARGETS[name], np.random.default_rng(20)
    seeds = target.seeds()
    for number in range(SAMPLE[name]):
        data = mutated(seeds[number % len(seeds)], target.words, generator)
        try:
            execute(target, data, tmp_path)
        except Exception as error:
            (tmp_path / "input").write_bytes(data)
            raise AssertionError(f"{name}: {tmp_path / 'input'}") from error


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.filterwarnings("ignore:.*pickle protocol")  # torch's own, harmless
def test_the_seeds_are_sound_so_that_changes_reach_deep(tmp_path, name):
    for seed in TARGETS[name].seeds()[:1]:
        TARGETS[name].run(seed, tmp_path)


def crash_of_a_native_reader(image: bytes) -> bytes:
    """A data element whose length runs over the end of the file, behind sound pixels."""
    return image + b"\xfc\xff\xfc\xffOB\0\0" + struct.pack("<I", 0x7FFFFFF0) + b"\0" * 4


def saved(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


#: What fuzzing found, as the smallest inputs that show it.
FOUND: list[tuple[str, str, bytes]] = [
    ("points", "a line that ends early", b"x,y,z,nodule_id\n1,2,3\n1,2\n"),
    ("points", "markups nested without end", b"[" * 100_000),
    ("checkpoint", "a checkpoint that is a list", pickle.dumps([1])),
    ("checkpoint", "weights whose names are no texts", saved({"teacher": {True: torch.zeros(1)}})),
    ("checkpoint", "a checkpoint cut in its zip header", b"PK\x03\x04" + b"\0" * 20),
    ("run", "a configuration that is not UTF-8", b"\x00\x9a\xff"),
    ("run", "a configuration without views", b"\x00views: {hu_window: []}"),
    ("run", "an unreadable table of predictions", b'\x04a,b\n"1,2\n\xff'),
    ("run", "a table of predictions of blanks", b"\x04\n\n\n"),
]


@pytest.mark.parametrize(
    ("name", "data"), [(name, data) for name, _, data in FOUND], ids=[label for _, label, _ in FOUND]
)
def test_what_fuzzing_found_gets_an_answer(tmp_path, name, data):
    execute(TARGETS[name], data, tmp_path)


def test_bytes_behind_the_pixels_do_not_matter(tmp_path: Path):
    (image, *_) = TARGETS["series"].seeds()
    TARGETS["series"].run(crash_of_a_native_reader(image), tmp_path)
