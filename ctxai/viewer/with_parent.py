"""Become a program that ends when the process that started it does, however that ends (Linux).

python -I -S with_parent.py PARENT_PID PROGRAM [ARGUMENT …]

A killed process can end nobody; the kernel ends its children where they have asked for it (prctl(2), PR_SET_PDEATHSIG).
The wish outlives exec, so any program can be given it. "Parent" is the thread that started it.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel, then become the program; end at once where the parent has already gone."""
    parent, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == int(parent):
        os.execv(command[0], command)


if __name__ == "__main__":
    main()
