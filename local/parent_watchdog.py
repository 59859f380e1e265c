"""Runs a Python module and kills its process group when the parent process ends, even by SIGKILL.

`python -m local.parent_watchdog FD MODULE [ARGUMENT…]`: FD is the read end of a pipe. Only the parent has the write
end, which the kernel closes when the parent ends.
"""

import os
import runpy
import signal
import sys
import threading


def _watch(fd: int) -> None:
    os.read(fd, 1)  # blocks until the write end is closed
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_watch, args=(int(sys.argv[1]),), daemon=True).start()
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
