import pytest
import torch

from ctxai.errors import InputError
from ctxai.run.device import torch_device
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
