"""Bytecode for what is uploaded.

Lambda's file system is read-only, so without bytecode each cold start would compile the modules again. The same version
of Python compiles them that will run them, if there is one on this machine. The bytecode is never checked against the
time of the source, because packaging changes that time.
"""

import functools
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from infrastructure.build import BuildError, Target

LAMBDA_PYTHON = "3.13"


@functools.cache
def interpreter(target: Target) -> str | None:
    """Return the path of a Python whose bytecode `target` can run, or None."""
    if target == "host" or platform.python_version().startswith(f"{LAMBDA_PYTHON}."):
        return sys.executable
    # A file may be a pyenv shim, which fails when that version is not active.
    check = f"import platform; assert platform.python_version().startswith('{LAMBDA_PYTHON}.')"
    return next((found for found in _candidates() if _run([found, "-c", check]).returncode == 0), None)


def explanation(target: Target) -> str:
    """Return one line about the bytecode for `target`: the Python that compiles it, or what it costs to have none."""
    python = interpreter(target)
    if python is not None:
        version = _run([python, "-c", "import platform; print(platform.python_version())"]).stdout.strip()
        return f"The functions and their dependencies are compiled, by Python {version} ({python})."
    return (
        f"No Python {LAMBDA_PYTHON} was found on the PATH, of pyenv or of uv, so the functions are deployed without "
        "bytecode: they work, but each cold start compiles them, which takes about twice as long; "
        f"`uv python install {LAMBDA_PYTHON}` installs one."
    )


def _candidates() -> Iterator[str]:
    """The files that may be a Python of Lambda's version: on the PATH, and those that pyenv and uv have installed."""
    # Each folder, not only the first with such a file: a shim of pyenv may stand before Debian's Python.
    for folder in os.get_exec_path():
        if found := shutil.which(f"python{LAMBDA_PYTHON}", path=folder):
            yield found
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv"))
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", "~/.local/share/uv/python"))
    for installed, pattern in ((pyenv / "versions", f"{LAMBDA_PYTHON}.*"), (uv, f"cpython-{LAMBDA_PYTHON}.*")):
        for version in sorted(installed.expanduser().glob(pattern)):
            yield str(version / "bin" / f"python{LAMBDA_PYTHON}")


def add_bytecode(folder: Path, *, at: str, target: Target) -> None:
    """Compile all modules in `folder`, whose path at run time is `at`, if there is an interpreter for it.

    Raises `BuildError` when a module can't be compiled.
    """
    python = interpreter(target)
    if python is None:
        return
    where = ["-s", str(folder), "-p", at]
    done = _run([python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", *where, str(folder)])
    if done.returncode:
        raise BuildError(f"{python} can't compile {at}: {(done.stdout or done.stderr).strip().splitlines()[-1]}")


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    # The elements of a constant set are written in the order of their hashes: a fixed seed makes the bytes reproducible
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    environment.pop("PYTHONPYCACHEPREFIX", None)  # else the bytecode would be elsewhere
    return subprocess.run(  # noqa: S603 - our own arguments
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


if __name__ == "__main__":
    sys.stdout.write(explanation("lambda") + "\n")
