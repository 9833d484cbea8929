"""A ``ctxai`` that has imported everything already: a server that forks for every command, and the call for it.

Run as a script, this is the server (see :func:`serve`); :func:`call` is all that the program ``ctxai`` of the tests
does. Each command is a process of its own, which runs the command line's `main` as the installed script does: with the
caller's folder, variables and streams, and to the caller's exit code. What it lacks are the seconds of importing torch.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import sys
from typing import NoReturn

_MESSAGE = 200_000  # bytes


def call(address: str) -> int:
    """Have the server at ``address`` run this process's command line, and hand signals on to it; its exit code."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.connect(address)
        request = {"words": sys.argv, "folder": os.getcwd(), "variables": dict(os.environ)}  # noqa: PTH109
        socket.send_fds(server, [json.dumps(request).encode()], [0, 1, 2])
        process = int(server.recv(_MESSAGE))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, frame: os.kill(process, number))
        return int(server.recv(_MESSAGE) or 1)


def serve(address: str, besides: dict[str, str]) -> int:
    """Listen for ever; returns in forks only.

    Args:
        address: path of the socket.
        besides: what commands get at their end, by words that are in them; the last that fits counts.
    """
    from ctxai.commands import COMMANDS

    for stage in COMMANDS:
        importlib.import_module(f"ctxai.commands.{stage.replace('-', '_')}")
    gc.freeze()  # else every fork's first collection copies all that was imported
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks that answer
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(address)
        listener.listen()
        while True:
            caller, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                return _answer(caller, besides)
            caller.close()


def _answer(caller: socket.socket, besides: dict[str, str]) -> int:
    """Run one command in a further fork, and tell the caller first its process, then its exit code."""
    message, streams, _, _ = socket.recv_fds(caller, _MESSAGE, 3)
    request = json.loads(message)
    process = os.fork()
    if process == 0:
        caller.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        _run(**request, besides=besides)
    for stream in streams:
        os.close(stream)
    caller.send(str(process).encode())
    _, status = os.waitpid(process, 0)
    with contextlib.suppress(BrokenPipeError):  # a caller that was killed
        caller.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _run(words: list[str], folder: str, variables: dict[str, str], besides: dict[str, str]) -> NoReturn:
    """Be the command that was called."""
    from ctxai.cli import main

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    more = [besides[some] for some in besides if set(some.split()) <= set(words)]
    sys.argv = [*words, *(more[-1].split() if more else [])]
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # taking apart all that was imported takes half a second


if __name__ == "__main__":
    sys.exit(serve(sys.argv[1], json.loads(sys.argv[2])))
