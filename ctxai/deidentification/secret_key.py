"""The secret under which identities are replaced: made once, kept outside of all results."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from pathlib import Path

from ctxai.errors import InputError
from ctxai.files import explain_os_errors

_BYTES = 32
_SHORTEST = 16
#: How long a file may be empty: a shared file system shows another machine's bytes after some seconds.
_PATIENCE_S = 5.0


def own_key_file() -> Path:
    """Where the key of this user is: ``$XDG_CONFIG_HOME/ctxai/deidentify.key``, by default under ``~/.config``.

    Raises:
        InputError: when the user has no home folder, as in some containers.
    """
    try:
        place = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    except RuntimeError:
        raise InputError("no home folder to keep the key of pseudonyms in; give one with --key") from None
    return place / "ctxai" / "deidentify.key"


def token(key: bytes, *parts: str) -> bytes:
    """32 bytes that stand for ``parts`` under a key (HMAC-SHA256)."""
    return hmac.new(key, "\0".join(parts).encode(), hashlib.sha256).digest()


def read_key(path: Path | None = None) -> bytes:
    """The key in a file; where there is no such file, a new random one is written for its owner alone to read.

    Args:
        path: the file; :func:`own_key_file` when not given.

    Raises:
        InputError: when the file is too short for a secret, open to others, or cannot be read or written.
    """
    path = own_key_file() if path is None else path
    with explain_os_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            _refuse_open_to_others(path)
            key = _written(path)
        else:
            key = secrets.token_hex(_BYTES).encode()
            with os.fdopen(descriptor, "wb") as file:
                file.write(key + b"\n")
    if len(key) < _SHORTEST:
        raise InputError(
            f"{path}: holds {len(key)} bytes, expected a secret of {_SHORTEST} or more; delete it to get a new one"
        )
    return key


def _refuse_open_to_others(path: Path) -> None:
    """Refuse a key that everyone on the computer can read, or others change.

    Raises:
        InputError: naming the command that closes it.
    """
    if os.name == "posix" and path.stat().st_mode & 0o027:
        raise InputError(f"{path}: others can read or change this key; run `chmod 600 {path}` first")


def _written(path: Path) -> bytes:
    """The key in a file, which another process may have made at this moment and not filled yet."""
    deadline = time.monotonic() + _PATIENCE_S
    while not (key := path.read_bytes().strip()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return key
