"""Weights that are pickles, cut short, or no weights."""

from __future__ import annotations

import os
import pickle

import torch

from faults.inputs import Inputs
from faults.promises import REFUSED, Faults

FAULTS = Faults()


class _Payload:
    def __reduce__(self) -> tuple:
        return (os.system, ("touch pwned",))


@FAULTS.case(train=(REFUSED, "nothing is unpickled"))
def pickle_posing_as_weights(i: Inputs) -> None:
    i.given = "evil.pth"
    (i.folder / i.given).write_bytes(pickle.dumps(_Payload(), protocol=2))


@FAULTS.case(train=(REFUSED, "nothing is unpickled"))
def pickle_in_a_checkpoint(i: Inputs) -> None:
    i.given = "evil.pth"
    torch.save({"model": _Payload()}, i.folder / i.given)


@FAULTS.case(train=(REFUSED, "nothing is unpickled"))
def pickle_named_safetensors(i: Inputs) -> None:
    i.given = "evil.safetensors"
    (i.folder / i.given).write_bytes(pickle.dumps(_Payload(), protocol=2))


@FAULTS.case(train=(REFUSED, "expected weights by name"))
def checkpoint_of_a_list(i: Inputs) -> None:
    i.given = "list.pth"
    torch.save([1, 2], i.folder / i.given)


@FAULTS.case(train=(REFUSED, "cannot be read as plain tensors"))
def checkpoint_cut_short(i: Inputs) -> None:
    i.given = "cut.pth"
    torch.save({"a": torch.zeros(1000)}, i.folder / i.given)
    os.truncate(i.folder / i.given, 700)
