"""`make mutants`: breaks the failure table and the guards one at a time, and shows which breaks no unit test notices.

In the table each row is removed, and each is given another class; in the modules that decide over identity, duplicates,
failures, dispatch, and the parts of files, each condition of an `if` is made true, then false. Exits with 1 when a
break goes unnoticed that isn't known to change nothing that a test could see.
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
    *(f"inputs/{name}" for name in ("identity", "events", "invocation")),
    *(
        f"processing/{name}"
        for name in ("invoker", "processor", "concurrency_limit", "dispatcher", "single_flight", "storing")
    ),
)
_TRANSFORM = tuple(
    f"transform/{name}" for name in ("part", "work", "progress", "assembler", "lines", "bisect", "memory")
)
# Breaks that change no behaviour, or only what no unit test can see; by module and what is broken, without its line.
_KNOWN: dict[tuple[str, str], str] = {
    ("transform/part", "`not isinstance(part, TransformPart)` is False"): "the router sends nothing else",
    ("transform/assembler", "`not isinstance(assembly, Assembly)` is False"): "the router sends nothing else",
    ("transform/work", "`part.unpacked` is True"): "of a file that isn't packed, both sizes are the same",
    ("transform/part", "`not part.file.is_version(facts.version)` is False"): "the read refuses another version, too",
}
_LIMIT_SECONDS = 180
_LIMIT_KB = 2 * 1024 * 1024
_CLASSES = ("INVALID", "MODEL", "CAPACITY", "CONFIGURATION", "TRANSIENT")
_TRANSFORM_TESTS = ("transform", "transform_bisect", "transform_lines", "transform_records", "transform_memory")
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


class Fate(Enum):
    """What became of a mutant."""

    NOTICED = "is noticed"
    SURVIVES = "survives"
    TIMED_OUT = "runs out of time"  # which is most often an endless loop, but nothing that a test says


@dataclass(frozen=True)
class Mutant:
    """A module's source with one thing changed."""

    module: str
    what: str
    source: str
    line: int = 0

    @property
    def known(self) -> str | None:
        """Why no test can notice it, where that is known."""
        return _KNOWN.get((self.module, self.what))

    def __str__(self) -> str:
        """Where it is, and what."""
        return f"{self.module}{f':{self.line}' if self.line else ''}: {self.what}"


def mutants() -> Iterator[Mutant]:
    """All of them."""
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
            what = f"`{ast.unparse(condition)}` is {value}"
            yield Mutant(module, what, ast.unparse(ast.fix_missing_locations(tree)), node.lineno)
        node.test = condition


def _parse(module: str) -> ast.Module:
    return ast.parse(_path(_ROOT, module).read_text())


def _path(root: Path, module: str) -> Path:
    return root / "lambdas" / "sluice" / f"{module}.py"


def _fate(mutant: Mutant, checkouts: "Queue[Path]") -> Fate:
    checkout = checkouts.get()
    path = _path(checkout, mutant.module)
    original = path.read_text()
    names = _TRANSFORM_TESTS if mutant.module in _TRANSFORM else _TESTS
    try:
        path.write_text(mutant.source)
        done = subprocess.run(
            [
                # A loop without end may eat memory, too, and with it what else runs on the machine.
                *("sh", "-c", f'ulimit -v {_LIMIT_KB} && exec "$@"', "sh"),
                *(sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"),
                *(f"tests/unit/test_{name}.py" for name in names),
                *("-k", "not full_part"),  # which take seconds, and look at memory
            ],
            cwd=checkout,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Fate.TIMED_OUT
    finally:
        path.write_text(original)
        checkouts.put(checkout)
    return Fate.NOTICED if done.returncode else Fate.SURVIVES


def main() -> int:
    """Try all, or those of the modules that are named; print the score and the survivors. 1 when one isn't known."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("modules", nargs="*", help="as `process` or `transform/part`")
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
        fates: list[Fate] = []
        for mutant, fate in zip(every, executor.map(lambda one: _fate(one, checkouts), every), strict=True):
            fates.append(fate)
            if fate is not Fate.NOTICED:
                known = f" (known: {mutant.known})" if mutant.known else ""
                print(f"{fate.value}: {mutant}{known}", flush=True)
    counts = Counter(fates)
    print(f"{counts[Fate.NOTICED]} of {len(every)} mutants are noticed, {counts[Fate.TIMED_OUT]} run out of time")
    unknown = [one for one, fate in zip(every, fates, strict=True) if fate is Fate.SURVIVES and not one.known]
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
