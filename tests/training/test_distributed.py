import pytest
from pytorch_lightning.plugins.environments import LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment

from ctxai.errors import InputError
from ctxai.training.distributed import process_environment
from ctxai.training.settings import Execution


@pytest.fixture(autouse=True)
def nothing_started_this(monkeypatch):
    for name in ("TORCHELASTIC_RUN_ID", "WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS_PER_NODE"):
        monkeypatch.delenv(name, raising=False)


def torchrun(monkeypatch, processes):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", str(processes))


def srun(monkeypatch, processes):
    monkeypatch.setenv("SLURM_NTASKS", str(processes))
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", str(processes))


@pytest.mark.parametrize("devices", [1, 4])
def test_one_process_starts_the_others_itself_also_in_a_job_of_slurm(monkeypatch, devices):
    assert isinstance(process_environment(Execution(devices=devices, num_nodes=1)), LightningEnvironment)
    srun(monkeypatch, 1)
    assert isinstance(process_environment(Execution(devices=devices, num_nodes=1)), LightningEnvironment)


@pytest.mark.parametrize(
    ("starter", "kind"), [(torchrun, TorchElasticEnvironment), (srun, SLURMEnvironment)], ids=["torchrun", "srun"]
)
def test_processes_that_are_there_are_used_and_have_to_be_as_many_as_expected(monkeypatch, starter, kind):
    starter(monkeypatch, 8)
    assert isinstance(process_environment(Execution(devices=4, num_nodes=2)), kind)
    with pytest.raises(InputError, match="started 8 processes, expected devices × num_nodes = 1 × 1"):
        process_environment(Execution(devices=1, num_nodes=1))


def test_slurm_is_not_asked_to_put_a_job_back(monkeypatch):
    srun(monkeypatch, 2)
    assert not process_environment(Execution(devices=1, num_nodes=2)).auto_requeue


def test_other_machines_need_somebody_who_starts_processes_there():
    with pytest.raises(InputError, match="nothing started processes there; use srun or torchrun"):
        process_environment(Execution(devices=1, num_nodes=2))
