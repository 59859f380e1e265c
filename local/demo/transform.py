"""The demo's dataset: transforms thousands of rows, a few of them poisoned, and shows the progress."""

import json
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from cli.lookup.progress import bytes_done
from local.engine import Engine
from local.models.wine import Wine, held_out

_KEY = "transform/wine/customers.csv"
_ROWS = 20_000
_POISONED = 5
_SHOWN = 10
_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows as CSV, and the numbers (from 1) of those that the model rejects."""

    rows: list[str]
    poisoned: list[int]

    @classmethod
    def make(cls, count: int = _ROWS, poisoned: int = _POISONED) -> "Dataset":
        """Repeated rows of scikit-learn's wine data that the model was not trained on."""
        rng = random.Random(7)  # noqa: S311 - the same rows in each run
        wines = [",".join(str(value) for value in row) for row in held_out()[0]]
        rows = [rng.choice(wines) for _ in range(count)]
        refused = sorted(rng.sample(range(1, count + 1), poisoned))
        for number in refused:
            rows[number - 1] = f"customer {number},n/a"
        return cls(rows, refused)

    def expected(self) -> list[str]:
        """The result of a single process: a prediction for each row, and an empty line for each poisoned row."""
        refused = set(self.poisoned)
        good = [row for number, row in enumerate(self.rows, 1) if number not in refused]
        answers = iter(Wine().predict("\n".join(good).encode(), "text/csv", "text/csv").body.decode().splitlines())
        return ["" if number in refused else next(answers) for number in range(1, len(self.rows) + 1)]


def transform(
    console: Console, engine: Engine, directory: Path, dataset: Dataset, *, limit_seconds: float = _SECONDS
) -> list[str]:
    """Drop a dataset, show its progress until it is done, and return the differences from the expected result."""
    body = ("\n".join(dataset.rows) + "\n").encode()
    started = time.monotonic()
    engine.clients.s3.put_object(Bucket=engine.input_bucket, Key=_KEY, Body=body, Metadata={"accept": "text/csv"})
    columns = (
        TextColumn(f"{_KEY}, {len(dataset.rows):,} rows"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(body))
        while time.monotonic() - started < limit_seconds:
            progress.update(task, completed=bytes_done(_keys(engine, f"parts/{_KEY}/")))
            if f"{_KEY}.out" in _keys(engine, f"{_KEY}.out"):
                return _judge(console, engine, dataset, directory, time.monotonic() - started)
            time.sleep(0.1)
    return [f"{_KEY}: not done after {limit_seconds:.0f} s"]


def _keys(engine: Engine, prefix: str) -> list[str]:
    pages = engine.clients.s3.get_paginator("list_objects_v2").paginate(Bucket=engine.results_bucket, Prefix=prefix)
    return [one["Key"] for page in pages for one in page.get("Contents", [])]


def _judge(console: Console, engine: Engine, dataset: Dataset, directory: Path, seconds: float) -> list[str]:
    stored = {}
    for suffix in (".out", ".errors.jsonl", ".summary.json"):
        body = engine.clients.s3.get_object(Bucket=engine.results_bucket, Key=_KEY + suffix)["Body"].read()
        copy = directory / "results" / (_KEY + suffix)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(body)
        stored[suffix] = body.decode()
    errors: list[dict[str, Any]] = [json.loads(line) for line in stored[".errors.jsonl"].splitlines()]
    summary = json.loads(stored[".summary.json"])
    console.print(
        f"  drop   {_KEY}: {summary['records']:,} rows in {seconds:.1f} s, with {summary['calls']} calls in "
        f"{summary['parts']} parts. {summary['succeeded']:,} answered, each in its own line; {len(errors)} poisoned "
        f"rows found: lines {', '.join(str(error['Line']) for error in errors[:_SHOWN])}"
        f"{'.' if len(errors) <= _SHOWN else ', …'}"
    )
    wrong = []
    if stored[".out"].split("\n")[:-1] != dataset.expected():
        wrong.append(f"{_KEY}: differs from the result of a single process")
    if [error["Line"] for error in errors] != dataset.poisoned:
        wrong.append(f"{_KEY}: expected lines {dataset.poisoned} to be rejected")
    return wrong
