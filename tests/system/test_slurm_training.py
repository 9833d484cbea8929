"""Training on two machines of a SLURM, and on as many processes of one."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from numpy.testing import assert_allclose

from ctxai.cli import main
from ctxai.data.patches import Patches
from ctxai.data.store import NoduleStore
from ctxai.run.run import Run

from cohorts import sphere_store
from system.slurm import wait_until

pytestmark = pytest.mark.system

SCRIPT = Path(__file__).parents[2] / "pipelines" / "slurm" / "train.sbatch"

# A step's loss and gradient are sums over its images. Two processes add up a half each, then the halves, so the sums
# differ in the last bits of single precision. (Weights are not compared: those whose gradient is zero, such as the
# biases of the attention's keys, follow that rounding alone, and AdamW divides it by its own size.)
TOLERANCE = 1e-5

CONFIG = {
    "views": {"views": ["axial"], "pixels": 16},
    "backbone": {"depth": 1, "drop_path_rate": 0.0},  # whose draws would not be those of one process
    "optim": {"epochs": 40, "batch_size": 7},
}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with a store, a configuration, and the run `alone` of one process."""
    folder = tmp_path_factory.mktemp("training")
    sphere_store(folder / "store", nodules=40, depth=1)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    assert main(["train", *options(folder, "alone")]) == 0
    return folder


def options(folder, run):
    return [
        *(str(folder / "store"), str(folder / run), "--config", str(folder / "config.yaml")),
        *("--accelerator", "cpu"),
    ]


def programs(slurm):
    """The environment of jobs, with this checkout's ``ctxai``, which says what it does."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{slurm.environment['PATH']}",
        "OMP_NUM_THREADS": "1",
        "CTXAI_LOG": "INFO",
    }


def submit(slurm, folder, run, *sbatch):
    log = folder / f"{run}.log"
    layout = ("--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=1", f"--output={log}", *sbatch)
    return slurm.submit(*layout, SCRIPT, *options(folder, run), environment=programs(slurm)), log


def assert_same_run(folder, name, other):
    """Losses of all epochs, predictions of all nodules, and what was calibrated on them."""
    found, expected = (Run.load(folder / run) for run in (name, other))
    losses = (run.metrics["training"]["epoch_losses"] for run in (found, expected))
    assert next(losses) == pytest.approx(next(losses), abs=TOLERANCE)
    store = NoduleStore(folder / "store")
    patches = Patches(store, range(len(store)))[range(len(store))]
    assert_allclose(found.predict(patches), expected.predict(patches), rtol=0, atol=TOLERANCE)


def test_two_machines_train_the_run_of_one_process(slurm, work):
    job, log = submit(slurm, work, "machines")
    assert slurm.wait(job, 300) == "COMPLETED", log.read_text()
    assert_same_run(work, "machines", "alone")
    assert not list(work.glob(".machines*")), "checkpoints are left"
    assert not list(work.glob("**/hpc_ckpt*"))


def test_torchrun_on_one_machine_trains_it_too(slurm, work):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launcher, "-m", "ctxai", "train", *options(work, "torchrun"), "--devices", "2"]
    environment = slurm.environment | programs(slurm)
    done = subprocess.run(command, env=environment, cwd=work, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert_same_run(work, "torchrun", "alone")


def test_a_training_that_nears_its_time_limit_goes_back_into_the_queue_and_ends_the_same(slurm, work):
    job, log = submit(slurm, work, "cut")
    wait_until(lambda: log.is_file() and "training begins at step 0, on 2" in log.read_text(), "the training", 300)
    slurm.run("scancel", "--batch", "--signal=USR1", job)
    wait_until(lambda: slurm.jobs()[job] == "PENDING", "the job in the queue again", 120)
    assert "interrupted; the same command goes on where it stopped" in log.read_text()
    (state,) = work.glob(".cut.training/*/last.ckpt")
    step = torch.load(state, weights_only=True)["global_step"]
    assert 0 < step < 4 * CONFIG["optim"]["epochs"]
    assert slurm.wait(job, 300) == "COMPLETED", log.read_text()
    assert f"training begins at step {step}, on 2" in log.read_text()
    for name in ("weights.safetensors", "metrics.json", "calibration.json"):
        assert (work / "cut" / name).read_bytes() == (work / "machines" / name).read_bytes()
