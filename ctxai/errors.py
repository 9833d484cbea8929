"""The package's errors: one root, so that a caller can catch everything ctxai raises on purpose."""


class CtxaiError(Exception):
    """Root of every error that ctxai raises on purpose."""


class InputError(CtxaiError):
    """What the user gave cannot be used; the command line prints it as one line and exits with code 2.

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


def printable(error: Exception) -> str:
    """An error's text in one line of at most 2000 characters, without those that would steer a terminal."""
    line = " ".join(str(error).split())[:2000]
    return "".join(letter if letter.isprintable() else "?" for letter in line)
