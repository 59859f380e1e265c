"""`make mutants`: mutation tests of the failure table and of conditions; prints the mutants that no unit test detects.

In the table, each row is removed, and each row gets another class. In the modules for identity, duplicates, failures,
dispatch and the parts of files, each condition of an `if` is replaced with true, then with false. Exits with 1 if a
mutant survives that is not listed as equivalent.
"""

import argparse
import ast
import copy
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from queue import Queue

_ROOT = Path(__file__).parents[1]
_TABLE = "failures"
_GUARDED = (
    *(f"inputs/{name}" for name in ("identity", "envelopes", "s3_events", "invocation", "target", "strict_json")),
    *(
        f"processing/{name}"
        for name in (
            "invoker",
            "processor",
            "settlement",
            "outcomes",
            "memory",
            "concurrency_limit",
            "dispatcher",
            "single_flight",
            "storing",
        )
    ),
)
_TRANSFORM = tuple(
    f"transform/{name}"
    for name in (
        "part",
        "part_store",
        "part_calls",
        "work",
        "progress",
        "assembler",
        "lines",
        "csv_records",
        "alignment",
        "values",
        "bisect",
        "memory",
        "answer_format",
        "json_slices",
        "probe",
        "formats",
        "format_store",
        "patience",
    )
)
# Mutants that don't change the behavior, or only in ways that a unit test can't detect, by module and description.
_EQUIVALENT: dict[tuple[str, str], str] = {
    ("transform/work", "`part.unpacked` is True"): "both sizes are equal for a file that isn't packed",
    ("transform/format_store", "`stored is not None` is True"): "nothing deletes a format that was just there",
    ("transform/part", "`not part.file.is_version(head.version)` is False"): "the read rejects another version, too",
}
_LIMIT_SECONDS = 180
_LIMIT_KB = 2 * 1024 * 1024
_CLASSES = ("INVALID", "MODEL", "CAPACITY", "CONFIGURATION", "TRANSIENT")
_TRANSFORM_TESTS = (
    "transform",
    "transform_bisect",
    "transform_lines",
    "transform_csv",
    "transform_codecs",
    "transform_filters",
    "transform_file_type",
    "transform_records",
    "transform_memory",
    "transform_formats",
    "transform_verdict",
    "answer_format",
    "containers",
)
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
    "outcomes",
    "call_memory",
    "permanent",
    "bounds",
    "versions",
    "transform",
    "transform_messages",
)


class Result(Enum):
    """The result of the tests with a mutant."""

    DETECTED = "detected"
    SURVIVED = "survived"
    TIMED_OUT = "timed out"  # most often an endless loop, but no test has failed


@dataclass(frozen=True)
class Mutant:
    """A module's source with one change."""

    module: str
    change: str
    source: str
    line: int = 0

    @property
    def equivalent(self) -> str | None:
        """The reason why no test can detect the mutant, if it is listed as equivalent."""
        return _EQUIVALENT.get((self.module, self.change))

    def __str__(self) -> str:
        """The location and the change."""
        return f"{self.module}{f':{self.line}' if self.line else ''}: {self.change}"


def mutants() -> Iterator[Mutant]:
    """All mutants."""
    yield from _rows()
    for module in _GUARDED + _TRANSFORM:
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
        if index + 1 < len(rows):  # the last row matches everything else
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
            # The condition is still evaluated, because names that it binds with := are used below.
            operator = ast.Or() if value else ast.And()
            node.test = ast.BoolOp(operator, [condition, ast.Constant(value)])
            change = f"`{ast.unparse(condition)}` is {value}"
            yield Mutant(module, change, ast.unparse(ast.fix_missing_locations(tree)), node.lineno)
        node.test = condition


def _parse(module: str) -> ast.Module:
    return ast.parse(_path(_ROOT, module).read_text())


def _path(root: Path, module: str) -> Path:
    return root / "lambdas" / "sluice" / f"{module}.py"


def _run_tests(mutant: Mutant, checkouts: "Queue[Path]") -> Result:
    checkout = checkouts.get()
    path = _path(checkout, mutant.module)
    original = path.read_text()
    names = _TRANSFORM_TESTS if mutant.module in _TRANSFORM else _TESTS
    try:
        path.write_text(mutant.source)
        done = subprocess.run(
            [
                # An endless loop may also exhaust the machine's memory.
                *("sh", "-c", f'ulimit -v {_LIMIT_KB} && exec "$@"', "sh"),
                *(sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"),
                *(f"tests/unit/test_{name}.py" for name in names),
                *("-k", "not full_part"),  # these take seconds, and measure memory
            ],
            cwd=checkout,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Result.TIMED_OUT
    finally:
        path.write_text(original)
        checkouts.put(checkout)
    return Result.DETECTED if done.returncode else Result.SURVIVED


def main() -> int:
    """Test all mutants, or those of the given modules; print the survivors and the score. Return the exit code."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("modules", nargs="*", help="such as `processing/processor` or `transform/part`")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    every = [mutant for mutant in mutants() if not given.modules or mutant.module in given.modules]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(given.workers) as executor:
        checkouts: Queue[Path] = Queue()
        for number in range(given.workers):
            checkout = Path(folder, str(number))
            for part in ("lambdas", "tests"):
                shutil.copytree(_ROOT / part, checkout / part, ignore=shutil.ignore_patterns("__pycache__"))
            shutil.copy(_ROOT / "pyproject.toml", checkout)
            checkouts.put(checkout)
        results: list[Result] = []
        for mutant, result in zip(every, executor.map(lambda one: _run_tests(one, checkouts), every), strict=True):
            results.append(result)
            if result is not Result.DETECTED:
                reason = f" (equivalent: {mutant.equivalent})" if mutant.equivalent else ""
                print(f"{result.value}: {mutant}{reason}", flush=True)
    counts = Counter(results)
    print(f"{counts[Result.DETECTED]} of {len(every)} mutants detected, {counts[Result.TIMED_OUT]} timed out")
    survivors = [
        one for one, result in zip(every, results, strict=True) if result is Result.SURVIVED and not one.equivalent
    ]
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
