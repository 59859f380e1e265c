"""The datasets of a chaos run, and the audit of their outcomes: a result line for line, or a failure with a reason."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from local.chaos.container import predict_line

_LINES = 32_000  # a few parts of 512 KB
_POISONED = 3


@dataclass(frozen=True, slots=True)
class Dataset:
    """A file under transform/. A later dataset with the same key replaces it."""

    key: str
    lines: list[str]

    @property
    def body(self) -> bytes:
        """The file's content."""
        return "".join(f"{line}\n" for line in self.lines).encode()

    @property
    def poisoned(self) -> list[int]:
        """The numbers, from 1, of the lines that the model rejects."""
        return [number for number, line in enumerate(self.lines, 1) if line.endswith("poison")]

    @property
    def expected(self) -> list[str]:
        """The expected lines of the result."""
        return ["" if line.endswith("poison") else predict_line(line) for line in self.lines]


def datasets(count: int, seed: int) -> Iterator[Dataset]:
    """`count` datasets, every third of which is followed by a second version."""
    dice = random.Random(seed)  # noqa: S311 - reproducible chaos, not secrets
    for number in range(count):
        for version in range(2 if number % 3 == 2 else 1):
            lines = [f"line {number} {version} {dice.random()}" for _ in range(_LINES)]
            for poisoned in dice.sample(range(_LINES), _POISONED):
                lines[poisoned] += " poison"
            yield Dataset(f"transform/{number}.txt", lines)


def audit_datasets(
    dropped: Sequence[Dataset],
    results: Mapping[str, tuple[bytes, Mapping[str, str]]],
    letters: Sequence[tuple[bytes, Mapping[str, str]]],
) -> tuple[dict[str, int], list[str]]:
    """Counts for the table, and violations. For a key that was dropped twice, only the last version is audited."""
    counts = {"datasets": 0, "  answered line for line": 0, "  failed, with a reason": 0, "  lines": 0, "  calls": 0}
    wrong: list[str] = []
    for dataset in {one.key: one for one in dropped}.values():
        counts["datasets"] += 1
        counts["  lines"] += len(dataset.lines)
        answer, failure = (results.get(dataset.key + suffix) for suffix in (".out", ".err"))
        if failure:
            counts["  failed, with a reason"] += 1
            if not any(dataset.key in body.decode() for body, _ in letters):
                wrong.append(f"{dataset.key}: .err without a dead letter")
            if answer:
                wrong.append(f"{dataset.key}: answered and failed")
        elif answer:
            counts["  answered line for line"] += 1
            wrong += _compare(dataset, answer[0], results)
            counts["  calls"] += json.loads(results[f"{dataset.key}.summary.json"][0])["calls"]
        else:
            wrong.append(f"{dataset.key}: lost: neither .out nor .err")
    return counts, wrong


def _compare(dataset: Dataset, answer: bytes, results: Mapping[str, tuple[bytes, Mapping[str, str]]]) -> Iterator[str]:
    lines = answer.decode().split("\n")[:-1]
    errors = [json.loads(line) for line in results[f"{dataset.key}.errors.jsonl"][0].splitlines()]
    refused = {error["Line"]: error for error in errors}
    if len(lines) != len(dataset.lines):
        yield f"{dataset.key}: {len(lines)} lines for {len(dataset.lines)}"
    if not set(dataset.poisoned) <= set(refused):
        yield f"{dataset.key}: poisoned lines that are not in the errors"
    for number, (found, expected) in enumerate(zip(lines, dataset.expected, strict=False), 1):
        # An injected timeout may reject any line; the line is in the errors then.
        if found != expected and not (found == "" and number in refused):
            yield f"{dataset.key}: line {number} is not its result"
            return
