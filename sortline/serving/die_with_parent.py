"""`python die_with_parent.py PARENT COMMAND...`: a command that does not outlive its PARENT.

It becomes the command, under the same process id, after asking the kernel (Linux: prctl(2),
PR_SET_PDEATHSIG) for a SIGTERM when its parent is gone, be it by SIGKILL. The kernel means the
thread that started it: that one has to live as long as the command is wanted.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def dying_with_parent(command: Sequence[str]) -> list[str]:
    """The command, to be run as a child that ends with this process; as it is but on Linux."""
    if sys.platform != "linux":
        return list(command)
    # Without site: it starts in a fiftieth of a second.
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def _become(parent: int, command: list[str]) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # It went before the kernel was asked.
        sys.exit(1)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"{command[0]} cannot be started: {error.strerror}.")


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
