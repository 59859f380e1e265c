"""The layout of `cli/`: a file per command, a package per capability, and dependencies in one direction."""

import ast
from pathlib import Path

import pytest

from cli.main import main

CLI = Path(__file__).parents[2] / "cli"
FILES = sorted(CLI.glob("**/*.py"))
SHARED = {
    "__init__",
    "__main__",
    "deployment",
    "errors",
    "logs",
    "main",
    "options",
    "output",
    "quotas",
    "sqs",
    "timefmt",
}
# The other capabilities that a capability uses.
USES = {
    "audit": {"backfill", "dlq", "lookup"},
    "backfill": {"lookup"},
    "dlq": {"lookup"},
    "doctor": {"lookup"},
    "lookup": set[str](),
    "openai_api": set[str](),
    "sending": {"lookup"},
    "sizing": set[str](),
    "transform": {"lookup"},
    "watch": set[str](),
}


def module(path: Path) -> str:
    return ".".join(path.relative_to(CLI.parent).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> set[str]:
    """The modules of the command line that a file imports."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    return {node.module for node in nodes if node.module and node.module.partition(".")[0] == "cli"}


def package(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] not in SHARED else None


def test_only_shared_modules_are_directly_in_the_package() -> None:
    assert {path.stem for path in CLI.glob("*.py")} == SHARED
    assert {path.parent.name for path in CLI.glob("*/__init__.py")} == {"commands", *USES}


@pytest.mark.parametrize("path", [path for path in FILES if path.parent != CLI], ids=module)
def test_a_file_imports_only_what_its_package_may_use(path: Path) -> None:
    own = path.relative_to(CLI).parts[0]
    used = {name for name in map(package, imports(path)) if name is not None} - {own}
    assert used <= (USES.keys() if own == "commands" else USES[own])
    assert "cli.main" not in imports(path)


@pytest.mark.parametrize("path", sorted(CLI.glob("commands/**/[a-z]*.py")), ids=module)
def test_a_command_imports_no_other_command(path: Path) -> None:
    assert not {name for name in imports(path) if package(name) == "commands"}


def test_a_shared_module_imports_no_capability() -> None:
    for path in CLI.glob("*.py"):
        if path.stem != "main":
            assert not {name for name in imports(path) if package(name)}, path


def test_each_command_has_its_own_file() -> None:
    commands = {path.stem.replace("_", "-") for path in CLI.glob("commands/[a-z]*.py")}
    assert commands | {"dlq", "transform"} == set(main.commands)


@pytest.mark.parametrize("path", FILES, ids=module)
def test_a_file_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 250
