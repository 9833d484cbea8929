"""Files that are cut off, scrambled, or no images at all."""

from __future__ import annotations

import numpy as np

from faults.inputs import Inputs
from faults.promises import READ, REPAIRED, Faults, image

FAULTS = Faults()


@FAULTS.case(**image("cut short"))
def truncated_pixels(i: Inputs) -> None:
    i.images[5].write_bytes(i.images[5].read_bytes()[:-200])


@FAULTS.case(**image("missing slice"))
def truncated_in_its_header(i: Inputs) -> None:
    i.images[5].write_bytes(i.images[5].read_bytes()[:700])


@FAULTS.case(**image("missing slice"))
def zero_length_file(i: Inputs) -> None:
    i.images[5].write_bytes(b"")


@FAULTS.case(explain=(REPAIRED, "cut short"))
def truncated_last_image(i: Inputs) -> None:
    i.images[-1].write_bytes(i.images[-1].read_bytes()[:-200])


@FAULTS.case(**image("missing slice"))
def noise_instead_of_an_image(i: Inputs) -> None:
    i.images[5].write_bytes(np.random.default_rng(1).bytes(5000))


@FAULTS.case(**image("damaged"))
def lying_element_length(i: Inputs) -> None:
    data = bytearray(i.images[5].read_bytes())
    place = data.index(b"\x10\x00\x10\x00PN")
    data[place + 6 : place + 8] = b"\xff\xff"
    i.images[5].write_bytes(data)


@FAULTS.case(**image("damaged"))
def deeply_nested_sequences(i: Inputs) -> None:
    data = i.images[5].read_bytes()
    place = data.index(b"\x10\x00\x10\x00PN")
    opened = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    i.images[5].write_bytes(data[:place] + opened * 5000 + data[place:])


@FAULTS.case(ingest=(READ, ""), explain=(READ, ""))
def other_files_beside_the_images(i: Inputs) -> None:
    (i.ct / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (i.ct / "notes.txt").write_text("x")
    (i.ct / "thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0" * 100)


@FAULTS.case(ingest=(READ, ""), explain=(READ, ""))
def symlink_loop(i: Inputs) -> None:
    (i.ct / "loop").symlink_to(i.ct)
    (i.ct / "itself").symlink_to(i.ct / "itself")


@FAULTS.case(ingest=(READ, ""), explain=(READ, ""))
def symlink_that_leads_outside(i: Inputs) -> None:
    outside = i.folder / "outside"
    outside.mkdir()
    (outside / "notes.txt").write_text("x")
    (i.ct / "out").symlink_to(outside)
    (i.ct / "host").symlink_to("/etc/hostname")
