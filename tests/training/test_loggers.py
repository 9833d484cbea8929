import pytest
from pytorch_lightning.loggers import CSVLogger

from ctxai.training.loggers import make_logger


def test_every_start_writes_its_own_table(tmp_path):
    for value in (1.0, 2.0):
        record = make_logger("csv", tmp_path)
        assert isinstance(record, CSVLogger)
        record.log_metrics({"loss": value}, 0)
        record.save()
    found = sorted((tmp_path / "logs").glob("*/metrics.csv"))
    assert [path.parent.name for path in found] == ["version_0", "version_1"]
    assert [path.read_text().split()[-1].split(",")[0] for path in found] == ["1.0", "2.0"]


def test_tensorboard_reads_what_its_logger_wrote(tmp_path):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    record = make_logger("tensorboard", tmp_path)
    record.log_metrics({"loss": 0.25}, 3)
    record.save()
    events = event_accumulator.EventAccumulator(str(tmp_path / "logs/version_0")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(3, 0.25)]


def test_no_logger_is_none(tmp_path):
    assert make_logger("none", tmp_path) is None and not list(tmp_path.iterdir())
