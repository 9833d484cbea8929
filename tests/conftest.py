"""What many tests share: where the real data lies, and one thread per process so that two processes fit two cores."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

#: Fixtures that the tests of several folders share.
pytest_plugins = ["dropped_interrupt", "trees"]

REPOSITORY = Path(__file__).parent.parent


def pytest_configure(config: pytest.Config) -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def own_configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A key of the tests' own, not that of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("configuration")))
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real CT data (environment variable CTXAI_DATA); the test skips where it is absent."""
    folder = Path(os.environ.get("CTXAI_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real CT data at {folder}: set CTXAI_DATA to a folder with lidc-idri/ and lidc-nodules-2d/")
    return folder


@pytest.fixture(scope="session")
def lidc_0001(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked CT series of patient LIDC-IDRI-0001."""
    archive = real_data / "lidc-idri" / "LIDC-IDRI-0001.tar.xz"
    if not archive.is_file():
        pytest.skip(f"{archive} is absent")
    folder = tmp_path_factory.mktemp("LIDC-IDRI-0001")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder
