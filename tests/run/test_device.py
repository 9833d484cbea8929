import importlib
import inspect

import pytest
import torch

from ctxai import api
from ctxai.commands import COMMANDS
from ctxai.errors import InputError
from ctxai.run.device import AUTO, torch_device
from ctxai.run.run import SHIPPED, Run


def test_a_run_opens_on_the_device_that_is_asked_for():
    assert Run.open(SHIPPED, device="cpu").model.device.type == "cpu"
    moved = Run.open(SHIPPED, device="meta").model
    assert {value.device.type for value in moved.state_dict().values()} == {"meta"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_auto_is_the_processor_where_there_is_no_gpu():
    assert torch_device("auto") == torch.device("cpu")
    for name in ("cuda", "cuda:1"):
        with pytest.raises(InputError, match=f"--device {name}: 0 CUDA device"):
            Run.open(SHIPPED, device=name)


def test_every_command_and_the_api_have_the_same_default():
    names = [name.replace("-", "_") for name in COMMANDS]
    commands = [getattr(importlib.import_module(f"ctxai.commands.{name}"), name) for name in names]
    parameters = [inspect.signature(one).parameters for one in (*commands, api.explain, api.predict, Run.open)]
    asked = [found["device"].default for found in parameters if "device" in found]
    assert len(asked) >= 10 and set(asked) == {AUTO}
