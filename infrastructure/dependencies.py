"""The content of the functions' dependency layer, built with pip: no Docker, no compiler."""

import platform
import shutil
import subprocess
import sys
from pathlib import Path

from infrastructure.build import ROOT, BuildError, Target, cached
from infrastructure.bytecode import LAMBDA_PYTHON, add_bytecode, interpreter

LOCK = ROOT / "lambdas" / "requirements.lock"
_FOR_LAMBDA = (
    # Amazon Linux 2023 has glibc 2.34. pip accepts a wheel with any of these tags.
    *(f"--platform=manylinux{glibc}_aarch64" for glibc in ("_2_34", "_2_28", "_2_17", "2014")),
    f"--python-version={LAMBDA_PYTHON}",
    "--implementation=cp",
    "--only-binary=:all:",
)
# botocore has the models of 400 services. The functions use these, besides the data about endpoints and partitions.
_MODELS = {"s3", "sagemaker-runtime", "sns", "sqs", "sts"}
# Left out, a third of the layer: command-line programs, tests, examples, and features of Powertools and pydantic that
# the functions don't use.
_UNUSED = (
    "bin",
    "**/tests",
    "boto3/examples",
    "boto3/data/*",
    "aws_lambda_powertools/event_handler",
    "aws_lambda_powertools/utilities/[!_j]*",  # all but jmespath_utils, which Logger imports
    "pydantic/v1",
    "pydantic/mypy.py",
)
_RECIPE = "2"  # to be raised when the rules for what is left out change


def layer(target: Target) -> Path:
    """Return the folder of the layer, with `python/` in it.

    Raises `BuildError` when pip fails.
    """
    flags = _FOR_LAMBDA if target == "lambda" else ()
    built_for = "lambda" if target == "lambda" else f"{sys.version}{platform.platform()}"
    compiled = f"{sys.version} {interpreter(target)}"
    parts = (_RECIPE, LOCK.read_text(), built_for, compiled, *flags, *sorted(_MODELS), *_UNUSED)

    def fill(folder: Path) -> None:
        _install(folder / "python", flags)
        _prune(folder / "python")
        add_bytecode(folder / "python", at="/opt/python", target=target)

    return cached(f"layer-{target}", parts, fill)


def _install(folder: Path, flags: tuple[str, ...]) -> None:
    command = ["install", "--quiet", "--disable-pip-version-check", "--no-compile", f"--target={folder}"]
    process = subprocess.run(  # noqa: S603 - our own arguments
        [sys.executable, "-m", "pip", *command, *flags, "--require-hashes", f"--requirement={LOCK}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        lines = [line for line in process.stderr.splitlines() if line.startswith("ERROR")] or ["no error was printed"]
        raise BuildError(f"pip can't install {LOCK.name} of lambdas/: {lines[-1]}")


def _prune(folder: Path) -> None:
    for pattern in _UNUSED:
        for path in list(folder.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for model in (folder / "botocore" / "data").iterdir():
        if model.is_dir() and model.name not in _MODELS:
            shutil.rmtree(model)
