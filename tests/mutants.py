"""`make mutants`: breaks the failure table and the guards one at a time, and shows which breaks no unit test notices.

In the table each row is removed, and each is given another class; in the modules that decide over identity, duplicates,
failures and dispatch, each condition of an `if` is made true, then false.
"""

import ast
import copy
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

_ROOT = Path(__file__).parents[1]
_TABLE = "failures"
_GUARDED = ("identity", "events", "answer", "process", "limit", "dispatch", "flights", "request", "storing")
_CLASSES = ("INVALID", "MODEL", "CAPACITY", "CONFIGURATION", "TRANSIENT")
_TESTS = (
    "failures",
    "identity",
    "events",
    "process",
    "failing",
    "duplicates",
    "crashes",
    "dispatch",
    "guards",
    "transform",
    "transform_messages",
)


@dataclass(frozen=True)
class Mutant:
    """A module's source with one thing changed."""

    module: str
    what: str
    source: str


def mutants() -> Iterator[Mutant]:
    """All of them."""
    yield from _rows()
    for module in _GUARDED:
        yield from _guards(module)


def _rows() -> Iterator[Mutant]:
    tree = _parse(_TABLE)
    (table,) = [
        node for node in ast.walk(tree) if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "TABLE"
    ]
    assert isinstance(table.value, ast.Tuple)
    rows = list(table.value.elts)
    for index, row in enumerate(rows):
        assert isinstance(row, ast.Call)
        described = f"row {index + 1}, {ast.unparse(row)[:90]}"
        if index + 1 < len(rows):  # the last one takes whatever is left
            table.value.elts = rows[:index] + rows[index + 1 :]
            yield Mutant(_TABLE, f"without {described}", ast.unparse(tree))
        now = row.args[0]
        assert isinstance(now, ast.Attribute)
        other = copy.deepcopy(row)
        other.args[0] = ast.parse(f"FailureClass.{next(c for c in _CLASSES if c != now.attr)}", mode="eval").body
        table.value.elts = [*rows[:index], other, *rows[index + 1 :]]
        yield Mutant(_TABLE, f"another class for {described}", ast.unparse(tree))
        table.value.elts = rows


def _guards(module: str) -> Iterator[Mutant]:
    tree = _parse(module)
    for node in [node for node in ast.walk(tree) if isinstance(node, ast.If | ast.IfExp)]:
        condition = node.test
        for value in (True, False):
            # Names bound by := in the condition are used below it, so it is still evaluated.
            operator = ast.Or() if value else ast.And()
            node.test = ast.BoolOp(operator, [condition, ast.Constant(value)])
            what = f"line {node.lineno}, `{ast.unparse(condition)}` is {value}"
            yield Mutant(module, what, ast.unparse(ast.fix_missing_locations(tree)))
        node.test = condition


def _parse(module: str) -> ast.Module:
    return ast.parse(_path(_ROOT, module).read_text())


def _path(root: Path, module: str) -> Path:
    return root / "lambdas" / "sluice" / f"{module}.py"


def _survives(mutant: Mutant, checkouts: "Queue[Path]") -> bool:
    checkout = checkouts.get()
    path = _path(checkout, mutant.module)
    original = path.read_text()
    try:
        path.write_text(mutant.source)
        tests = [f"tests/unit/test_{name}.py" for name in _TESTS]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests],
            cwd=checkout,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    finally:
        path.write_text(original)
        checkouts.put(checkout)
    return done.returncode == 0


def main() -> int:
    """Try all, print the score and the survivors."""
    workers = os.cpu_count() or 1
    every = list(mutants())
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as executor:
        checkouts: Queue[Path] = Queue()
        for number in range(workers):
            checkout = Path(folder, str(number))
            for part in ("lambdas", "tests"):
                shutil.copytree(_ROOT / part, checkout / part, ignore=shutil.ignore_patterns("__pycache__"))
            shutil.copy(_ROOT / "pyproject.toml", checkout)
            checkouts.put(checkout)
        fates = list(executor.map(lambda mutant: _survives(mutant, checkouts), every))
    survivors = list(itertools.compress(every, fates))
    for mutant in survivors:
        print(f"survives: {mutant.module}: {mutant.what}")
    print(f"{len(every) - len(survivors)} of {len(every)} mutants are noticed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
