"""The bytecode of what is uploaded: of Lambda's Python, and what is said about it."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.interpreter import measured_on
from infrastructure import build, bytecode
from infrastructure.build import BuildError
from infrastructure.code import code
from infrastructure.dependencies import layer


def modules(folder: Path) -> set[Path]:
    return set(folder.glob("**/*.py"))


@pytest.mark.parametrize("what", [code, layer])
def test_every_module_has_its_bytecode(what: Callable[[build.Target], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "pycache_prefix", None)  # which `make` sets: Lambda has none
    folder = what("host")
    for module in modules(folder):
        compiled = Path(importlib.util.cache_from_source(str(module)))
        # Unchecked: packing changes the time of the source (PEP 552).
        assert compiled.read_bytes()[4:8] == b"\1\0\0\0", module


def test_bytecode_is_of_the_python_version_of_lambda_or_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {path.name.split(".")[-2] for path in [*code("lambda").glob("**/*.pyc"), *layer("lambda").glob("**/*.pyc")]}
    assert kinds == ({"cpython-313"} if bytecode.interpreter("lambda") else set())


def test_without_lambdas_python_there_is_no_bytecode(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stand_in = tmp_path / "python3.13"
    stand_in.write_text("#!/bin/sh\necho python3.13: command not found >&2; exit 127\n")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "uv"))
    monkeypatch.setattr("infrastructure.bytecode.platform.python_version", lambda: "3.11.7")
    bytecode.interpreter.cache_clear()
    try:
        assert bytecode.interpreter("lambda") is None
        assert not list(code("lambda").glob("**/*.pyc"))
    finally:
        bytecode.interpreter.cache_clear()


def without_python(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """A machine on which Python 3.11 runs synth, and no Python 3.13 is installed."""
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setenv("PYENV_ROOT", str(folder / "pyenv"))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(folder / "uv"))
    monkeypatch.setattr("infrastructure.bytecode.platform.python_version", lambda: "3.11.7")


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def unknown_interpreter() -> Iterator[None]:
    bytecode.interpreter.cache_clear()
    yield
    bytecode.interpreter.cache_clear()


@pytest.mark.usefixtures("unknown_interpreter")
def test_a_shim_that_fails_does_not_hide_another_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The shims of pyenv stand before /usr/bin."""
    without_python(monkeypatch, tmp_path)
    shim = program(tmp_path / "shims/python3.13", "echo python3.13: command not found >&2; exit 127")
    python = program(tmp_path / "bin/python3.13", "exit 0")
    monkeypatch.setenv("PATH", os.pathsep.join([str(shim.parent), str(python.parent)]))
    assert bytecode.interpreter("lambda") == str(python)


@pytest.mark.usefixtures("unknown_interpreter")
def test_it_is_said_in_one_line_which_python_compiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_python(monkeypatch, tmp_path)
    python = program(tmp_path / "bin/python3.13", "echo 3.13.9")
    monkeypatch.setenv("PATH", str(python.parent))
    assert bytecode.explanation("lambda") == (
        f"The functions and their dependencies are compiled, by Python 3.13.9 ({python})."
    )


@pytest.mark.usefixtures("unknown_interpreter")
def test_it_is_said_in_one_line_what_no_bytecode_costs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_python(monkeypatch, tmp_path)
    text = bytecode.explanation("lambda")
    assert text.startswith("No Python 3.13 was found on the PATH, of pyenv or of uv")
    assert "each cold start compiles them, which takes about twice as long" in text
    assert "\n" not in text
    measured = json.loads((build.ROOT / "benchmarks/results.json").read_text())["cold_starts"]
    assert 1.5 < measured["sluice, no bytecode"]["ready_ms"] / measured["sluice"]["ready_ms"] < 2.5


def test_make_synth_says_it() -> None:
    command = ["make", "--silent", "--dry-run", "--assume-old=.venv/.installed", "synth"]
    planned = subprocess.run(command, cwd=build.ROOT, capture_output=True, text=True, check=True).stdout
    assert "app.py && .venv/bin/python -m infrastructure.bytecode" in planned
    said = subprocess.run(
        [sys.executable, "-m", "infrastructure.bytecode"], cwd=build.ROOT, capture_output=True, text=True, check=True
    )
    assert said.stdout == f"{bytecode.explanation('lambda')}\n"


def test_make_bench_says_on_which_python_it_measures_and_warns_of_another() -> None:
    assert measured_on("3.13.2") == "Measured on Python 3.13.2, the version of the functions' runtime."
    assert measured_on("3.11.7").startswith("WARNING: measured on Python 3.11.7, but the functions run on 3.13")
    started = subprocess.Popen(
        [sys.executable, "benchmarks/run.py"],
        cwd=build.ROOT,
        env={**os.environ, "PYTHONPATH": str(build.ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        assert started.stdout is not None
        assert started.stdout.readline() == f"{measured_on()}\n"
    finally:
        os.killpg(started.pid, signal.SIGKILL)
        started.communicate()


@pytest.mark.parametrize("installed_by", ["pyenv", "uv"])
def test_lambdas_python_is_found_where_it_is_not_on_the_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, installed_by: str
) -> None:
    folder = {"pyenv": "pyenv/versions/3.13.9", "uv": "uv/cpython-3.13.9-linux"}[installed_by]
    python = tmp_path / folder / "bin" / "python3.13"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 0\n")
    python.chmod(0o755)
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "uv"))
    monkeypatch.setattr("infrastructure.bytecode.platform.python_version", lambda: "3.11.7")
    bytecode.interpreter.cache_clear()
    try:
        assert bytecode.interpreter("lambda") == str(python)
    finally:
        bytecode.interpreter.cache_clear()


def test_a_module_that_cannot_be_compiled_says_so_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.py").write_text("def\n")
    with pytest.raises(BuildError, match="can't compile /var/task: ") as raised:
        bytecode.add_bytecode(tmp_path, at="/var/task", target="host")
    assert "\n" not in str(raised.value)
