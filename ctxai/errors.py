"""The package's errors: one root, so that a caller can catch everything ctxai raises on purpose."""

import re
import traceback
from collections.abc import Iterator

#: A line of the traceback that a worker process sends as text.
_SENT = re.compile(r'File "(?:.*[/\\])?([^"/\\]+)", line (\d+), in (\S+)')


class CtxaiError(Exception):
    """Root of every error that ctxai raises on purpose."""


class InputError(CtxaiError):
    """Input that cannot be used; the command line prints the message as one line and exits with code 2.

    The message names the file or nodule, what was expected, what was found, and what to do.
    """


class GeometryError(InputError):
    """A CT series whose slices do not form one regular volume, or a position outside it."""


class StoreError(InputError):
    """A nodule store that is missing, damaged, incomplete or of another layout."""


class RunError(InputError):
    """A run folder that is missing, damaged, or made for another kind of input."""


class ModelError(InputError):
    """A model that a method cannot explain, or weights that do not fit it."""


class PacsError(InputError):
    """Another DICOM system that cannot be reached, refuses to talk, or ends a conversation early."""


def one_line(error: Exception) -> str:
    """An error's text without line breaks, at most 200 characters."""
    return " ".join(str(error).split())[:200]


def kind_of(error: BaseException) -> str:
    """Kind of an error: the system's words for its own, else the class, since words may quote the data."""
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__


def printable(error: Exception) -> str:
    """An error's text in one line of at most 2000 characters, without those that would steer a terminal."""
    line = " ".join(str(error).split())[:2000]
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def fault_of(error: BaseException) -> str:
    """Kind and place of an error that nobody expected, without its words, which may quote the data or a path.

    The first line is the kind; then every line of code on the way, the outermost first, and the same of its causes.
    """
    lines = [f"unexpected {type(error).__name__}", *_places(error)]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join([*lines, *([f"after {fault_of(cause)}"] if cause else [])])


def _places(error: BaseException) -> Iterator[str]:
    for frame, line in traceback.walk_tb(error.__traceback__):
        yield f"  {frame.f_globals.get('__name__')}, line {line}, in {frame.f_code.co_name}"
    for file, line, function in _SENT.findall(getattr(error, "tb", "")):
        yield f"  {file}, line {line}, in {function}"
