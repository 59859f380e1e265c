"""The code of the functions: lambdas/ with its bytecode."""

import hashlib
import shutil
import sys
from pathlib import Path

from infrastructure.build import ROOT, Target, cached
from infrastructure.bytecode import add_bytecode, interpreter

_LAMBDAS = ROOT / "lambdas"
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", "requirements.*")  # the layer has the requirements


def code(target: Target) -> Path:
    """Return the folder to upload.

    Raises `BuildError` when a module can't be compiled.
    """
    sources = sorted(_LAMBDAS.glob("**/*.py"))
    content = [f"{path.relative_to(_LAMBDAS)} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in sources]

    def fill(folder: Path) -> None:
        shutil.copytree(_LAMBDAS, folder, ignore=_LEFT_OUT, dirs_exist_ok=True)
        add_bytecode(folder, at="/var/task", target=target)

    return cached(f"code-{target}", [sys.version, str(interpreter(target)), *content], fill)
