"""The layer and the code that are uploaded: the right platform, complete, small, compiled, and built once."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from infrastructure import build, bytecode, dependencies
from infrastructure.build import BuildError
from infrastructure.code import code
from infrastructure.dependencies import layer

AARCH64 = 183  # e_machine in an ELF header


def test_lambdas_layer_has_arm64_wheels_and_is_small() -> None:
    built = layer("lambda")
    (compiled,) = built.glob("python/pydantic_core/*.so")
    assert int.from_bytes(compiled.read_bytes()[18:20], "little") == AARCH64
    assert "cpython-313-aarch64" in compiled.name
    assert sum(path.stat().st_size for path in built.glob("**/*") if path.is_file()) < 30_000_000


def modules(folder: Path) -> set[Path]:
    return set(folder.glob("**/*.py"))


@pytest.mark.parametrize("what", [code, layer])
def test_every_module_has_its_bytecode(what: Callable[[build.Target], Path]) -> None:
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


def test_everybody_may_read_what_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infrastructure.build._CACHE", tmp_path)

    def fill(folder: Path) -> None:
        (folder / "package").mkdir()
        (folder / "package" / "module.py").write_text("x = 1\n")

    before = os.umask(0o077)
    try:
        folder = build.cached("any", ["part"], fill)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (folder / "package", folder / "package" / "module.py")}
    assert modes == {"package": 0o755, "module.py": 0o644}


def test_stray_files_do_not_change_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lambdas = tmp_path / "lambdas"
    lambdas.mkdir()
    (lambdas / "invoke.py").write_text("handler = None\n")
    monkeypatch.setattr("infrastructure.code._LAMBDAS", lambdas)
    before = code("host")
    (lambdas / "__pycache__").mkdir()
    (lambdas / "__pycache__" / "stray.pyc").write_bytes(b"")
    assert code("host") == before
    (lambdas / "invoke.py").write_text("handler = 1\n")
    after = code("host")
    assert after != before
    assert {path.name for path in after.iterdir()} == {"invoke.py", "__pycache__"}
    for folder in (before, after):
        shutil.rmtree(folder)


def test_a_module_that_cannot_be_compiled_says_so_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.py").write_text("def\n")
    with pytest.raises(BuildError, match="can't compile /var/task: ") as raised:
        bytecode.add_bytecode(tmp_path, at="/var/task", target="host")
    assert "\n" not in str(raised.value)


def test_the_hosts_layer_is_all_that_the_function_needs() -> None:
    """A clean interpreter with only the layer and the code on its path can build the application."""
    environment = {
        "SLUICE_ENDPOINT_NAMES": "wine",
        "SLUICE_DEFAULT_ENDPOINT_NAME": "wine",
        "SLUICE_INPUT_BUCKET": "input",
        "SLUICE_RESULTS_BUCKET": "results",
        "SLUICE_SOURCE_QUEUE_URL": "https://request",
        "SLUICE_DEAD_LETTER_QUEUE_URL": "https://dead-letter",
        "SLUICE_REQUEST_QUEUE_URL": "https://request",
        "SLUICE_ASSEMBLY_QUEUE_URL": "https://assembly",
        "SLUICE_MAX_RECEIVE_COUNT": "3",
        "SLUICE_RETRY_BASE_SECONDS": "1",
        "SLUICE_RETRY_CAP_SECONDS": "1",
        "SLUICE_MAX_BODY_BYTES": "1",
        "SLUICE_DEFAULT_CONTENT_TYPE": "text/csv",
        "SLUICE_READ_TIMEOUT_SECONDS": "70",
        "SLUICE_CONCURRENT_CALLS": "1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "POWERTOOLS_METRICS_NAMESPACE": "Sluice",
        "POWERTOOLS_SERVICE_NAME": "Sluice",
    }
    paths = [str(layer("host") / "python"), str(code("host"))]
    program = f"import sys; sys.path[:0] = {paths!r}; import invoke; invoke.application()"
    subprocess.run([sys.executable, "-I", "-S", "-c", program], env=environment, check=True)


def test_it_is_built_once() -> None:
    before = layer("lambda").stat().st_mtime_ns
    assert layer("lambda").stat().st_mtime_ns == before


def test_a_build_that_fails_says_so_in_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requirements = tmp_path / "requirements.lock"
    requirements.write_text(f"no-such-package-at-all==0.0.0 --hash=sha256:{64 * '0'}\n")
    monkeypatch.setattr(dependencies, "LOCK", requirements)
    monkeypatch.setattr(build, "_CACHE", tmp_path / "cache")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(
        BuildError, match=r"^pip can't install requirements.lock of lambdas/: ERROR: .*no-such-package"
    ) as raised:
        layer("host")
    assert "\n" not in str(raised.value)
    assert not list((tmp_path / "cache").iterdir())
