"""The layer and the code that are uploaded: the right platform, complete, small, compiled, and built once."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infrastructure import build, dependencies
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


def test_each_package_of_lambdas_layer_runs_on_arm64_and_amazon_linux_2023() -> None:
    """By the tags of its wheel (PEP 427). Amazon Linux 2023 has glibc 2.34 (Amazon Linux 2023 User Guide)."""
    python = layer("lambda") / "python"
    tags = {
        wheel.parent.name: re.findall(r"^Tag: (\S+)-(\S+)-(\S+)$", wheel.read_text(), re.MULTILINE)
        for wheel in python.glob("*.dist-info/WHEEL")
    }
    assert len(tags) == len(re.findall(r"^\w\S*==", dependencies.LOCK.read_text(), re.MULTILINE))
    compiled = set()
    for name, found in tags.items():
        assert found, name
        for interpreter, abi, platform in found:
            if platform == "any":
                assert (interpreter, abi) in {("py3", "none"), ("py2", "none")}, name
                continue
            compiled.add(name.partition("-")[0])
            assert (interpreter, abi) == ("cp313", "cp313"), name
            glibc = re.fullmatch(r"manylinux_2_(\d+)_aarch64|manylinux(2014)_aarch64", platform)
            assert glibc, (name, platform)
            assert int(glibc[1] or 17) <= 34, (name, platform)
    libraries = list(python.glob("**/*.so*"))
    assert {path.relative_to(python).parts[0] for path in libraries} == compiled
    for path in libraries:
        assert int.from_bytes(path.read_bytes()[18:20], "little") == AARCH64, path


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


def test_the_hosts_layer_is_all_that_the_function_needs() -> None:
    """A clean interpreter with only the layer and the code on its path can build the application."""
    environment = {
        "SLUICE_ENDPOINT_NAMES": "wine",
        "SLUICE_DEFAULT_ENDPOINT_NAME": "wine",
        "SLUICE_INPUT_BUCKET": "input",
        "SLUICE_RESULTS_BUCKET": "results",
        "SLUICE_SOURCE_QUEUE_URL": "https://request",
        "SLUICE_DEAD_LETTER_QUEUE_URL": "https://dead-letter",
        "SLUICE_PART_QUEUE_URL": "https://part",
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
