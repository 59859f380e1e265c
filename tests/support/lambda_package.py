"""What Lambda unpacks for a function, and the runtime that starts it: AWS's `awslambdaric` and nothing else."""

import io
import os
import platform
import re
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from infrastructure import bytecode
from infrastructure.build import ROOT, cached
from infrastructure.bytecode import LAMBDA_PYTHON
from infrastructure.code import code
from infrastructure.dependencies import LOCK, layer
from local.deploy import zipped

_RUNTIME = ("awslambdaric", "simplejson", "snapshot_restore_py")


class NoRuntimeError(Exception):
    """The function can't be run on this version of Python here; the message says why."""


@dataclass(frozen=True)
class Package:
    """The unpacked code and layer of a function, and the interpreter and client of its runtime.

    `machine` has the compiled packages for this machine, if the layer has those for another one.
    """

    python: str
    task: Path
    layer: Path
    runtime: Path
    machine: Path | None = None

    def command(self, handler: str) -> list[str]:
        """The command that starts the runtime. Nothing that is installed on this machine can be imported (`-S -s`)."""
        return [self.python, "-S", "-s", "-m", "awslambdaric", handler]

    def environment(self) -> dict[str, str]:
        """The environment of the process, in the order of Lambda: the code comes first, then the layer."""
        path = (self.task, self.machine, self.layer / "python", self.runtime)
        return {
            "PATH": os.defpath,
            "PYTHONPATH": os.pathsep.join(str(one) for one in path if one),
            "PYTHONDONTWRITEBYTECODE": "1",  # Lambda's file system is read-only
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{LAMBDA_PYTHON}",
        }


def unpack(archive: bytes, folder: Path) -> Path:
    """Unpack a zip file with the modes of its files, and return `folder`."""
    with zipfile.ZipFile(io.BytesIO(archive)) as content:
        for member in content.infolist():
            path = Path(content.extract(member, folder))
            path.chmod(member.external_attr >> 16 & 0o777)
    return folder


def package(folder: Path) -> Package:
    """The code and the layer for this interpreter, packed and unpacked in `folder`."""
    runtime = folder / "runtime"
    runtime.mkdir()
    site = Path(sysconfig.get_path("platlib"))
    for name in {Path(file).parts[0] for one in _RUNTIME for file in metadata.files(one) or ()}:
        (runtime / name).symlink_to(site / name)
    return Package(
        sys.executable,
        unpack(zipped(code("host")), folder / "task"),
        unpack(zipped(layer("host")), folder / "layer"),
        runtime,
    )


def lambdas_package(folder: Path) -> Package:
    """The code and the layer as they are uploaded, and the version of Python that Lambda has.

    On another machine than arm64, the layer's compiled packages are hidden by those for this machine.

    Raises `NoRuntimeError` when there is no such interpreter, or pip can't get the wheels for it.
    """
    if platform.python_version().startswith(f"{LAMBDA_PYTHON}."):
        raise NoRuntimeError(f"the tests run on Python {LAMBDA_PYTHON} themselves")
    python = bytecode.interpreter("lambda")
    if python is None:
        raise NoRuntimeError(f"there is no Python {LAMBDA_PYTHON} on this machine")
    uploaded = layer("lambda")
    runtime, compiled = _pins((ROOT / "requirements-dev.txt").read_text(), _RUNTIME), _compiled(uploaded)

    def fill(folder: Path) -> None:
        _install(folder / "runtime", *runtime)
        _install(folder / "machine", "--no-deps", *compiled)

    wheels = cached("wheels-for-tests", [platform.machine(), *runtime, *compiled], fill)
    return Package(
        python,
        unpack(zipped(code("lambda")), folder / "task"),
        unpack(zipped(uploaded), folder / "layer"),
        wheels / "runtime",
        wheels / "machine",
    )


def _compiled(uploaded: Path) -> list[str]:
    """The pins of the layer's packages that are compiled: for arm64, by the tags of their wheels."""
    names = [
        wheel.parent.name.partition("-")[0]
        for wheel in (uploaded / "python").glob("*.dist-info/WHEEL")
        if not wheel.read_text().rstrip().endswith("-any")
    ]
    return _pins(LOCK.read_text(), tuple(names))


def _pins(requirements: str, names: tuple[str, ...]) -> list[str]:
    found = re.findall(r"^[\w-]+==[\w.]+", requirements, re.MULTILINE)
    return [pin for pin in found if pin.partition("==")[0].replace("-", "_") in names]


def _install(folder: Path, *arguments: str) -> None:
    """Install the wheels for this machine and Lambda's Python into `folder`."""
    flags = (f"--platform=manylinux2014_{platform.machine()}", f"--platform=manylinux_2_17_{platform.machine()}")
    versions = (f"--python-version={LAMBDA_PYTHON}", "--implementation=cp", "--only-binary=:all:")
    command = ["install", "--quiet", "--no-compile", f"--target={folder}", *flags, *versions, *arguments]
    done = subprocess.run(
        [sys.executable, "-m", "pip", *command], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NoRuntimeError(f"pip can't get the wheels for Python {LAMBDA_PYTHON}: {done.stderr.strip()[-300:]}")
