"""Arrows: handlers → core ← adapters. The core imports the standard library, pydantic and nothing that talks."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAMBDAS = ROOT / "lambdas"
OUTER = {
    "adapters",
    "clients",
    "composition",
    "file_adapters",
    "function",
    "notify_adapters",
    "notify_function",
    "telemetry",
    "transport",
}
CORE = sorted(path for path in (LAMBDAS / "sluice").glob("*.py") if path.stem not in OUTER)
TALKS = {"socket", "ssl", "http", "subprocess", "asyncio", "requests", "os", "shutil", "tempfile", "pathlib", "io"}


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_the_core_imports_nothing_that_talks(path: Path) -> None:
    for name in imports(path):
        top = name.partition(".")[0]
        assert top in sys.stdlib_module_names | {"pydantic", "sluice"}, name
        assert top not in TALKS, name
        assert name.removeprefix("sluice.").partition(".")[0] not in {*OUTER, "lean"}, name


def test_importing_the_core_loads_no_client_and_reads_no_environment() -> None:
    modules = ", ".join(f"sluice.{path.stem}" for path in CORE if path.stem not in {"__init__"})
    code = f"import sys; import {modules}; print(sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=LAMBDAS, env={}, capture_output=True, text=True, check=True
    ).stdout
    for name in ("boto3", "botocore", "urllib3", "aws_lambda_powertools"):
        assert f"'{name}'" not in loaded


@pytest.mark.parametrize("handler", ["invoke", "notify"])
def test_the_handlers_can_be_imported_without_an_environment(handler: str) -> None:
    subprocess.run([sys.executable, "-c", f"import {handler}"], cwd=LAMBDAS, env={}, check=True)


def test_the_invoke_function_carries_nothing_of_the_notifications() -> None:
    code = "import sys, invoke; print([name for name in sys.modules if 'notif' in name or 'sns' in name])"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=LAMBDAS, env={}, capture_output=True, check=True)
    assert loaded.stdout == b"[]\n"


@pytest.mark.parametrize("folder", ["infrastructure", "app.py"])
def test_infrastructure_knows_the_functions_only_as_a_path(folder: str) -> None:
    for path in [ROOT / folder] if folder.endswith(".py") else (ROOT / folder).glob("**/*.py"):
        assert not {name for name in imports(path) if name.partition(".")[0] in {"sluice", "invoke", "local"}}


def test_lambdas_know_nothing_of_cdk_or_local_runs() -> None:
    for path in LAMBDAS.glob("**/*.py"):
        assert not {name for name in imports(path) if name.partition(".")[0] in {"aws_cdk", "infrastructure", "local"}}
