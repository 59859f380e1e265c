"""Bytecode for what is uploaded. Lambda's file system can't be written to: without, each cold start compiles anew.

It is compiled by the interpreter that will run it, if one is at hand, and never checked against the source's time, as
packing changes that.
"""

import functools
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from infrastructure.build import BuildError, Target

LAMBDA_PYTHON = "3.13"


@functools.cache
def interpreter(target: Target) -> str | None:
    """The path of a Python whose bytecode `target` can run, or None."""
    if target == "host" or platform.python_version().startswith(f"{LAMBDA_PYTHON}."):
        return sys.executable
    found = shutil.which(f"python{LAMBDA_PYTHON}")
    # What is found may only be a stand-in that says which versions there are.
    return found if found and _run([found, "-c", ""]).returncode == 0 else None


def add_bytecode(folder: Path, *, at: str, target: Target) -> None:
    """Compile all modules in `folder`, which will be called `at`, if there is an interpreter to do it.

    Raises `BuildError` when it fails.
    """
    python = interpreter(target)
    if python is None:
        return
    where = ["-s", str(folder), "-p", at]
    done = _run([python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", *where, str(folder)])
    if done.returncode:
        raise BuildError(f"{python} can't compile {at}: {(done.stdout or done.stderr).strip().splitlines()[-1]}")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    # A set of constants is written in the order of its hashes: with one seed, the same code gives the same bytes.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    return subprocess.run(  # noqa: S603 - our own arguments
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
