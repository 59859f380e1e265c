"""The dependency layer: for Lambda's arm64 or for this machine, small, whole, and built once."""

import subprocess
import sys
from pathlib import Path

import pytest

from infrastructure import dependencies
from infrastructure.dependencies import BuildError, build

AARCH64 = 183  # e_machine in an ELF header


def test_lambdas_layer_has_arm64_wheels_and_is_small() -> None:
    layer = build("lambda")
    (compiled,) = layer.glob("python/pydantic_core/*.so")
    assert int.from_bytes(compiled.read_bytes()[18:20], "little") == AARCH64
    assert "cpython-313-aarch64" in compiled.name
    assert sum(path.stat().st_size for path in layer.glob("**/*") if path.is_file()) < 30_000_000
    assert not list(layer.glob("**/__pycache__"))


def test_the_hosts_layer_is_all_that_the_function_needs() -> None:
    """A clean interpreter, with the layer and lambdas/ alone on its path, builds the application."""
    lambdas = Path(__file__).parents[2] / "lambdas"
    environment = {
        "SLUICE_ENDPOINT_NAMES": "wine",
        "SLUICE_DEFAULT_ENDPOINT_NAME": "wine",
        "SLUICE_INPUT_BUCKET": "input",
        "SLUICE_RESULTS_BUCKET": "results",
        "SLUICE_REQUEST_QUEUE_URL": "https://request",
        "SLUICE_DEAD_LETTER_QUEUE_URL": "https://dead-letter",
        "SLUICE_MAX_RECEIVE_COUNT": "3",
        "SLUICE_RETRY_BASE_SECONDS": "1",
        "SLUICE_RETRY_CAP_SECONDS": "1",
        "SLUICE_MAX_BODY_BYTES": "1",
        "SLUICE_DEFAULT_CONTENT_TYPE": "text/csv",
        "SLUICE_READ_TIMEOUT_SECONDS": "70",
        "SLUICE_THREADS": "1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "POWERTOOLS_METRICS_NAMESPACE": "Sluice",
        "POWERTOOLS_SERVICE_NAME": "Sluice",
    }
    paths = [str(build("host") / "python"), str(lambdas)]
    code = f"import sys; sys.path[:0] = {paths!r}; import invoke; invoke.application()"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], env=environment, check=True)


def test_it_is_built_once() -> None:
    before = build("lambda").stat().st_mtime_ns
    assert build("lambda").stat().st_mtime_ns == before


def test_a_build_that_fails_says_so_in_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("no-such-package-at-all==0.0.0\n")
    monkeypatch.setattr(dependencies, "_REQUIREMENTS", requirements)
    monkeypatch.setattr(dependencies, "_ROOT", tmp_path)
    monkeypatch.setattr(dependencies, "_CACHE", tmp_path / "cache")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(BuildError, match=r"^pip can't install requirements.txt: ERROR: .*no-such-package") as raised:
        build("host")
    assert "\n" not in str(raised.value)
    assert not list((tmp_path / "cache").iterdir())
