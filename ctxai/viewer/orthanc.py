"""Orthanc, a small DICOM server, run for as long as it is needed: on loopback, in a temporary folder."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import logging
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ctxai.errors import InputError, PacsError
from ctxai.temporary import temporary_folder

HOST = "127.0.0.1"
USER = "ctxai"

_PROGRAMS = ("Orthanc", "orthanc", "/usr/sbin/Orthanc", "/usr/local/sbin/Orthanc")
_PLUGIN_FOLDERS = (
    "/usr/share/orthanc/plugins",
    "/usr/lib/orthanc",
    "/usr/local/share/orthanc/plugins",
    "/usr/local/lib/orthanc",
)
_PLUGINS = ("libOrthancDicomWeb.so", "libOrthancDicomWeb.dylib")
_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
_ATTEMPTS = 3

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OrthancProgram:
    """Where Orthanc is installed.

    Attributes:
        program: the server.
        dicomweb: its DICOMweb plugin.
    """

    program: Path
    dicomweb: Path


def find_orthanc() -> OrthancProgram | None:
    """The installed Orthanc with its DICOMweb plugin; None where either is absent."""
    program = next((found for name in _PROGRAMS if (found := shutil.which(name))), None)
    plugins = (Path(folder) / name for folder in _PLUGIN_FOLDERS for name in _PLUGINS)
    dicomweb = next((plugin for plugin in plugins if plugin.is_file()), None)
    return OrthancProgram(Path(program), dicomweb) if program and dicomweb else None


def free_port() -> int:
    """A TCP port that nothing on loopback listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def ends_with_us() -> list[str]:
    """Prefix of a command line, so that the program ends with this process; empty where the system has none."""
    if sys.platform != "linux":
        return []
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name("with_parent.py")), str(os.getpid())]


class Orthanc:
    """A running Orthanc, empty at first; a context manager, gone with all it holds when the block ends.

    It answers this machine alone. Without ``dimse``, it listens for HTTP only. On Linux it ends also when the thread
    that started it is gone, as after a kill; what it held is then removed by the next one.

    Args:
        dimse: listen for DIMSE (C-ECHO, C-STORE, C-FIND, C-MOVE, C-GET) as well.
        aet: its application entity title.
        modalities: those that it talks DIMSE with: title to (host, port). Calling titles that are not among them, or
            that call from another host, may do nothing but C-ECHO; host and port are where C-MOVE sends to.
        settings: further settings of Orthanc's configuration file.
        http_port: port for HTTP; a free one when not given.
        dimse_port: port for DIMSE; a free one when not given.
        folder: where it keeps what it receives; a temporary folder when not given. A folder that is given stays, so
            that a second Orthanc finds there what a first one received.
        locked: answer only requests with a random password that this object alone knows. Orthanc listens on every
            interface, whatever its settings; without a password any page in a browser on this machine could use it.

    Raises:
        InputError: when Orthanc or its DICOMweb plugin is not installed.
        PacsError: when it does not start.
    """

    def __init__(
        self,
        *,
        dimse: bool = False,
        aet: str = "ORTHANC",
        modalities: Mapping[str, tuple[str, int]] | None = None,
        settings: Mapping[str, Any] | None = None,
        http_port: int | None = None,
        dimse_port: int | None = None,
        folder: Path | None = None,
        locked: bool = False,
    ) -> None:
        installed = find_orthanc()
        if installed is None:
            raise InputError("Orthanc with its DICOMweb plugin is not installed; `make viewer` does it")
        self._installed, self._dimse, self.aet = installed, dimse, aet
        self._modalities, self._settings = dict(modalities or {}), dict(settings or {})
        self._ports = http_port, dimse_port
        self._folder = folder
        self.password = secrets.token_urlsafe(32) if locked else None
        self._temporary: Path | None = None
        self._ending = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """``host:port`` of HTTP."""
        return f"{HOST}:{self.http_port}"

    @property
    def url(self) -> str:
        """Root of Orthanc's own REST interface."""
        return f"http://{self.address}"

    @property
    def authorization(self) -> dict[str, str]:
        """Header of a request; empty where no password is needed."""
        if self.password is None:
            return {}
        return {"Authorization": f"Basic {base64.b64encode(f'{USER}:{self.password}'.encode()).decode()}"}

    @property
    def dicomweb_url(self) -> str:
        """Root of DICOMweb (QIDO-RS, WADO-RS, STOW-RS)."""
        return f"{self.url}/dicom-web"

    @property
    def dimse_address(self) -> str:
        """``AET@host:port`` for DIMSE."""
        return f"{self.aet}@{HOST}:{self.dimse_port}"

    def __enter__(self) -> Self:
        self._temporary = self._ending.enter_context(temporary_folder())
        try:
            for attempts_left in reversed(range(1 if any(self._ports) else _ATTEMPTS)):
                try:
                    self._start()
                    break
                except PacsError:  # another program may have taken a free port meanwhile
                    if not attempts_left:
                        raise
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self._ending.close()

    def upload(self, files: Iterable[Path]) -> int:
        """Put DICOM files in, one after another; one that is there already stays. Returns how many were taken.

        Raises:
            PacsError: for a file that it refuses, such as one that is no DICOM, or when it does not answer.
        """
        connection = http.client.HTTPConnection(HOST, self.http_port, timeout=300)
        count = 0
        try:
            for file in files:
                with file.open("rb") as body:
                    size = str(file.stat().st_size)
                    headers = {"Content-Length": size} | self.authorization
                    connection.request("POST", "/instances", body, headers)
                    response = connection.getresponse()
                response.read()
                if response.status != http.HTTPStatus.OK:
                    raise PacsError(f"{file}: Orthanc refuses it ({response.status} {response.reason})")
                count += 1
        except (OSError, http.client.HTTPException) as error:
            raise PacsError(f"Orthanc does not answer any more ({error})") from error
        finally:
            connection.close()
        return count

    def _start(self) -> None:
        """Start the process and wait until it answers."""
        folder = self._temporary
        assert folder is not None
        self.http_port = self._ports[0] or free_port()
        self.dimse_port = self._ports[1] or free_port()
        configuration, log = folder / "orthanc.json", folder / "orthanc.log"
        configuration.touch(0o600)
        configuration.write_text(json.dumps(self._configuration(folder), indent=2))
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*ends_with_us(), self._installed.program, configuration],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._stop()
                last = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-1:]
                raise PacsError(f"Orthanc does not start; its last words: {''.join(last) or 'none'}")
            time.sleep(0.05)
        logger.info("Orthanc answers at %s", self.url)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.http_port, timeout=5)
        try:
            connection.request("GET", "/dicom-web/studies?limit=1", headers=self.authorization)
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if self._folder is None:
            process.kill()  # an orderly end takes seconds, and nothing is to be kept
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _configuration(self, temporary: Path) -> dict[str, Any]:
        """Orthanc's configuration file."""
        storage = self._folder or temporary / "storage"
        storage.mkdir(parents=True, exist_ok=True)
        return {
            "Name": "ctxai",
            "StorageDirectory": str(storage.resolve()),
            "IndexDirectory": str(storage.resolve()),
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": self.password is not None,
            "RegisteredUsers": {} if self.password is None else {USER: self.password},
            "HttpPort": self.http_port,
            "HttpThreadsCount": min(16, 4 * (os.cpu_count() or 1)),
            "DicomServerEnabled": self._dimse,
            "DicomAet": self.aet,
            "DicomPort": self.dimse_port,
            "DicomCheckCalledAet": False,
            "DicomAlwaysAllowStore": False,
            "DicomCheckModalityHost": True,
            "DicomModalities": {name: [name, host, port] for name, (host, port) in self._modalities.items()},
            "Plugins": [str(self._installed.dicomweb)],
            "DicomWeb": {
                "Enable": True,
                "Root": "/dicom-web/",
                "EnableWado": False,
                "StudiesMetadata": "Full",
                "SeriesMetadata": "Full",
            },
        } | self._settings
