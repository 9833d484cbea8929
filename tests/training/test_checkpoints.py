import ast
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from ctxai.errors import InputError
from ctxai.training.checkpoints import CHECKPOINT, AtomicCheckpointIO
from ctxai.training.settings import Execution
from ctxai.training.trainer import fit
from ctxai.viewer.orthanc import free_port

from cohorts import sphere_store
from interrupted import prepare

SCRIPT = Path(__file__).parents[1] / "interrupted.py"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return sphere_store(tmp_path_factory.mktemp("flat") / "store", nodules=40, depth=1)


@pytest.fixture(scope="module")
def whole(store, tmp_path_factory):
    """A training that nothing interrupted: 4 epochs of 4 steps, the last one of each smaller."""
    return fit(*prepare(store.path), tmp_path_factory.mktemp("whole"), execution=Execution(accelerator="cpu"))


def same(model, other):
    return all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("step", [1, 4, 6, 11])
def test_an_interruption_at_any_step_changes_neither_weights_nor_losses(store, whole, tmp_path, step):
    model, data = prepare(store.path)
    ordinary = model.training_step

    def interrupted(batch, batch_idx):
        if model.global_step == step:
            raise MemoryError("interrupted")
        return ordinary(batch, batch_idx)

    model.training_step = interrupted
    with pytest.raises(MemoryError, match="interrupted"):
        fit(model, data, tmp_path, execution=Execution(accelerator="cpu"), checkpoint_seconds=0.0)
    state = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert state["global_step"] == step  # it goes on from the last step, not from the last epoch
    resumed = fit(*prepare(store.path), tmp_path, execution=Execution(accelerator="cpu"))
    assert same(resumed, whole)
    assert resumed.epoch_losses == whole.epoch_losses


def test_a_killed_process_leaves_what_the_same_command_goes_on_from(store, whole, tmp_path):
    out = tmp_path / "weights.safetensors"
    command = [sys.executable, str(SCRIPT), str(store.path), str(tmp_path / "work"), str(out)]
    killed = subprocess.run([*command, "--kill-at", "6"], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not out.exists()
    resumed = fit(*prepare(store.path), tmp_path / "work", execution=Execution(accelerator="cpu"))
    assert same(resumed, whole)


def test_a_request_to_end_is_followed_after_the_step_with_a_checkpoint(store, whole, tmp_path):
    model, data = prepare(store.path)
    ordinary = model.training_step

    def asked(batch, batch_idx):
        if model.global_step == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return ordinary(batch, batch_idx)

    model.training_step = asked
    with pytest.raises(KeyboardInterrupt):
        fit(model, data, tmp_path, execution=Execution(accelerator="cpu"), checkpoint_seconds=1e9)
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["global_step"] == 6
    assert same(fit(*prepare(store.path), tmp_path, execution=Execution(accelerator="cpu")), whole)


@pytest.fixture(scope="module")
def alone(store, tmp_path_factory):
    """A training without random draws that differ between processes."""
    model, data = prepare(store.path, drop_path_rate=0.0)
    return fit(model, data, tmp_path_factory.mktemp("alone"), execution=Execution(accelerator="cpu"))


def two_processes(store, folder, second=()):
    """Exit codes and errors of a training that two processes share; ``second`` are options of the second one."""
    command = [
        sys.executable,
        str(SCRIPT),
        str(store.path),
        str(folder / "work"),
        str(folder / "out"),
        "--devices",
        "2",
    ]
    common = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "GLOO_SOCKET_IFNAME": "lo"}
    # What torchrun sets for its processes.
    common |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "none"}
    processes = [
        subprocess.Popen(
            [*command, *options], env=common | {"RANK": rank, "LOCAL_RANK": rank}, stderr=subprocess.PIPE, text=True
        )
        for rank, options in (("0", ()), ("1", second))
    ]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    return [process.returncode for process in processes], errors


def assert_like(out, alone):
    shared = load_file(out)
    for name, value in alone.state_dict().items():
        torch.testing.assert_close(shared[name], value, rtol=0, atol=1e-4)
    with safe_open(out, "pt") as file:
        losses = ast.literal_eval(file.metadata()["losses"])
    assert losses == pytest.approx(alone.epoch_losses, abs=1e-4)


def test_two_processes_end_with_the_weights_of_one(store, alone, tmp_path):
    codes, errors = two_processes(store, tmp_path)
    assert codes == [0, 0], errors
    assert_like(tmp_path / "out", alone)


def test_a_request_to_one_of_two_processes_ends_both_after_the_same_step_and_they_go_on(store, alone, tmp_path):
    codes, errors = two_processes(store, tmp_path, ("--ask-at", "5"))
    assert codes == [1, 1], errors
    assert all("KeyboardInterrupt" in error for error in errors)
    assert torch.load(tmp_path / "work" / CHECKPOINT, weights_only=True)["global_step"] == 6
    codes, errors = two_processes(store, tmp_path)
    assert codes == [0, 0], errors
    assert_like(tmp_path / "out", alone)


def test_the_death_of_one_of_two_processes_is_told_as_that(store, tmp_path):
    codes, errors = two_processes(store, tmp_path, ("--kill-at", "5"))
    assert codes == [1, -signal.SIGKILL], errors
    assert "RunError: another process of this training has ended" in errors[0]


def test_a_full_disk_leaves_the_checkpoint_before_and_says_so_in_one_line(tmp_path, monkeypatch):
    files = AtomicCheckpointIO()
    files.save_checkpoint({"step": torch.tensor(1)}, tmp_path / CHECKPOINT)

    def full(path, data):
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match=r"last\.ckpt: no space left on the disk"):
        files.save_checkpoint({"step": torch.tensor(2)}, tmp_path / CHECKPOINT)
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True) == {"step": torch.tensor(1)}
