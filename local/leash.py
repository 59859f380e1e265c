"""Runs a Python module as a child on a leash: when the parent goes, however it goes, so does the child's process group.

`python -m local.leash FD MODULE [ARGUMENT…]`: FD is the reading end of a pipe whose writing end only the parent holds.
A kill -9 of the parent closes it; nothing else does.
"""

import os
import runpy
import signal
import sys
import threading


def _hold(fd: int) -> None:
    os.read(fd, 1)  # blocks until the parent's end is closed
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_hold, args=(int(sys.argv[1]),), daemon=True).start()
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
