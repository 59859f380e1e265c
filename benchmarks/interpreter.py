"""The version of Python that the benchmarks measure, compared with that of the functions' runtime."""

import platform

from infrastructure.bytecode import LAMBDA_PYTHON


def measured_on(version: str = platform.python_version()) -> str:
    """One line with the version of the interpreter, and a warning if it is not the one of the functions."""
    if version.startswith(f"{LAMBDA_PYTHON}."):
        return f"Measured on Python {version}, the version of the functions' runtime."
    return (
        f"WARNING: measured on Python {version}, but the functions run on {LAMBDA_PYTHON}: cold starts differ. "
        f"Have Python {LAMBDA_PYTHON} on the PATH, of pyenv or of uv, remove .build/bench, and run this again."
    )
