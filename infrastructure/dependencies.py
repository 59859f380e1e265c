"""Builds the content of the functions' dependency layer with pip: no Docker, no compiler, cached by what goes in."""

import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

_ROOT = Path(__file__).parent.parent
_REQUIREMENTS = _ROOT / "lambdas" / "requirements.txt"
_CACHE = _ROOT / ".build"
_PYTHON_VERSION = "3.13"
_FOR_LAMBDA = (
    # Lambda's Amazon Linux 2023 has glibc 2.34; pip takes a wheel that any of these tags fits.
    *(f"--platform=manylinux{glibc}_aarch64" for glibc in ("_2_34", "_2_28", "_2_17", "2014")),
    f"--python-version={_PYTHON_VERSION}",
    "--implementation=cp",
    "--only-binary=:all:",
)
# botocore brings the models of 400 services; the functions use these, and what endpoints and partitions are.
_MODELS = {"s3", "sagemaker-runtime", "sqs", "sts"}
# Left out: what installs packages, what only a command line uses, what is compiled anew.
_UNUSED = ("bin", "**/__pycache__", "**/tests", "boto3/examples", "boto3/data/*")
_RECIPE = "1"  # to be raised when what is left out changes

Target = Literal["lambda", "host"]


class BuildError(Exception):
    """The dependencies can't be built; the text is one line."""


def build(target: Target) -> Path:
    """The layer's folder, with `python/` in it: wheels for Lambda (arm64), or for this very interpreter.

    Raises `BuildError` when pip fails.
    """
    flags = _FOR_LAMBDA if target == "lambda" else ()
    built_for = "lambda" if target == "lambda" else f"{sys.version}{platform.platform()}"
    parts = (_RECIPE, _REQUIREMENTS.read_text(), built_for, *flags, *sorted(_MODELS), *_UNUSED)
    layer = _CACHE / f"layer-{target}-{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:16]}"
    if not layer.exists():
        _CACHE.mkdir(exist_ok=True)
        # Built beside its place and then moved there: a build that is cut short leaves nothing half done.
        with tempfile.TemporaryDirectory(dir=_CACHE, prefix="building-") as building:
            content = Path(building, "layer")
            _install(content / "python", flags)
            _prune(content / "python")
            try:
                content.rename(layer)
            except OSError:
                if not layer.exists():  # else another build was first, of the same
                    raise
    return layer


def _install(folder: Path, flags: tuple[str, ...]) -> None:
    command = ["install", "--quiet", "--disable-pip-version-check", "--no-compile", f"--target={folder}"]
    process = subprocess.run(  # noqa: S603 - our own arguments
        [sys.executable, "-m", "pip", *command, *flags, f"--requirement={_REQUIREMENTS}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        lines = [line for line in process.stderr.splitlines() if line.startswith("ERROR")] or ["no error was printed"]
        raise BuildError(f"pip can't install {_REQUIREMENTS.relative_to(_ROOT)}: {lines[-1]}")


def _prune(folder: Path) -> None:
    for pattern in _UNUSED:
        for path in list(folder.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for model in (folder / "botocore" / "data").iterdir():
        if model.is_dir() and model.name not in _MODELS:
            shutil.rmtree(model)
