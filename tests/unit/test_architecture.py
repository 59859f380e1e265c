"""Dependencies: handlers → processing → inputs; `aws/` implements the ports. Only `aws/` and `bootstrap.py` do I/O."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAMBDAS = ROOT / "lambdas"
PACKAGE = LAMBDAS / "sluice"
TOP = {
    "__init__",
    "bootstrap",
    "composition",
    "error_codes",
    "failures",
    "functions",
    "keys",
    "ports",
    "service_words",
    "settings",
    "telemetry",
    "timeouts",
}
FILES = sorted(PACKAGE.glob("**/*.py"))
TALKS = {"asyncio", "boto3", "botocore", "http", "requests", "s3transfer", "select", "selectors", "socket", "ssl"}
TALKS |= {"subprocess", "urllib3", "shutil", "tempfile", "pathlib"}
# The packages that each package, and each module at the top, may import; `bootstrap` may import all.
PACKAGES = {"concurrency", "inputs", "processing", "transform", "notify", "aws"}
ARROWS: dict[str, set[str]] = {
    "concurrency": {"concurrency"},
    "inputs": {"inputs"},
    "processing": {"processing", "inputs", "concurrency"},
    "transform": {"transform", "processing", "inputs", "concurrency"},
    "notify": {"notify", "processing", "inputs", "concurrency"},
    "aws": {"aws", "inputs", "concurrency"},
    "functions": {"processing", "inputs", "concurrency"},
    "telemetry": {"processing"},  # the type of an outcome
    "composition": {"processing", "transform", "concurrency"},
    "bootstrap": PACKAGES,
}
# Only `bootstrap` imports these.
OUTERMOST = {"bootstrap", "composition", "functions"}


def may_talk(path: Path) -> bool:
    return path == PACKAGE / "bootstrap.py" or path.is_relative_to(PACKAGE / "aws")


def module(path: Path) -> str:
    return ".".join(path.relative_to(LAMBDAS).with_suffix("").parts).removesuffix(".__init__")


CORE = [path for path in FILES if not may_talk(path)]


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative"
            # `from sluice import keys` imports the module `sluice.keys`.
            names |= (
                {f"sluice.{alias.name}" for alias in node.names} if node.module == "sluice" else {node.module or ""}
            )
    return names


@pytest.mark.parametrize("path", CORE, ids=module)
def test_only_aws_and_bootstrap_do_io_or_read_the_environment(path: Path) -> None:
    for name in imports(path):
        assert name.partition(".")[0] not in TALKS, name
    tree = ast.parse(path.read_text())
    assert not [one for one in ast.walk(tree) if isinstance(one, ast.Attribute) and one.attr in {"environ", "getenv"}]
    assert not [one for one in ast.walk(tree) if isinstance(one, ast.Name) and one.id == "open"]


@pytest.mark.parametrize("path", FILES, ids=module)
def test_a_file_imports_only_its_allowed_dependencies(path: Path) -> None:
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]  # a package, or a module at the top
    imported = {name.split(".")[1] for name in imports(path) if name.startswith("sluice.")}
    assert imported & PACKAGES <= ARROWS.get(own, set())
    if own != "bootstrap":
        assert not imported & OUTERMOST


def test_only_shared_modules_are_directly_in_the_package() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} <= TOP
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == PACKAGES


def test_importing_the_core_loads_no_client_and_reads_no_environment() -> None:
    outer = {"sluice.functions", "sluice.telemetry", "sluice.notify.function"}
    names = ", ".join(name for path in CORE if (name := module(path)) not in outer)
    code = f"import sys; import {names}; print(sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=LAMBDAS, env={}, capture_output=True, text=True, check=True
    ).stdout
    for name in ("boto3", "botocore", "urllib3", "aws_lambda_powertools"):
        assert f"'{name}'" not in loaded


@pytest.mark.parametrize("handler", ["invoke", "notify"])
def test_the_handlers_can_be_imported_without_an_environment(handler: str) -> None:
    subprocess.run([sys.executable, "-c", f"import {handler}"], cwd=LAMBDAS, env={}, check=True)


def test_the_invoke_function_does_not_import_the_notifications() -> None:
    code = "import sys, invoke; print([name for name in sys.modules if 'notif' in name or 'sns' in name])"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=LAMBDAS, env={}, capture_output=True, check=True)
    assert loaded.stdout == b"[]\n"


@pytest.mark.parametrize("folder", ["infrastructure", "app.py"])
def test_infrastructure_knows_the_functions_only_as_a_path(folder: str) -> None:
    for path in [ROOT / folder] if folder.endswith(".py") else (ROOT / folder).glob("**/*.py"):
        assert not {name for name in imports(path) if name.partition(".")[0] in {"sluice", "invoke", "local"}}


def test_lambdas_depend_neither_on_cdk_nor_on_local_runs() -> None:
    for path in LAMBDAS.glob("**/*.py"):
        assert not {name for name in imports(path) if name.partition(".")[0] in {"aws_cdk", "infrastructure", "local"}}


def test_a_function_loads_the_modules_of_datasets_only_when_it_needs_them() -> None:
    """They take an eighth of a cold start. The forwarder sends parts on, and is small, as is its rule."""
    program = "import sys, sluice.composition; print(*(name for name in sys.modules if '.transform.' in name))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=LAMBDAS)
    assert found.stdout.split() == ["sluice.transform.onward", "sluice.transform.forwarder"]
