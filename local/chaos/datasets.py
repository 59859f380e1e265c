"""The datasets of a chaos run, and the audit of what became of them: answered line for line, or explained."""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from local.chaos.container import answer_to_line

_LINES = 6000  # a few parts of 64 KB
_POISONED = 3


@dataclass(frozen=True, slots=True)
class Dataset:
    """A file under transform/. One with `replaces` is dropped over another of the same key."""

    key: str
    lines: list[str]

    @property
    def body(self) -> bytes:
        """The file's content."""
        return "".join(f"{line}\n" for line in self.lines).encode()

    @property
    def poisoned(self) -> list[int]:
        """The numbers of the lines that the model refuses, from 1."""
        return [number for number, line in enumerate(self.lines, 1) if line.endswith("poison")]

    @property
    def answers(self) -> list[str]:
        """What must stand in the answers' lines."""
        return ["" if line.endswith("poison") else answer_to_line(line) for line in self.lines]


def datasets(count: int, seed: int) -> Iterator[Dataset]:
    """`count` datasets, each third of which is dropped over by another version of itself."""
    dice = random.Random(seed)  # noqa: S311 - chaos that can be repeated, not secrets
    for number in range(count):
        for version in range(2 if number % 3 == 2 else 1):
            lines = [f"line {number} {version} {dice.random()}" for _ in range(_LINES)]
            for poisoned in dice.sample(range(_LINES), _POISONED):
                lines[poisoned] += " poison"
            yield Dataset(f"transform/{number}.txt", lines)


def audit_datasets(
    given: Sequence[Dataset],
    results: Mapping[str, tuple[bytes, Mapping[str, str]]],
    letters: Sequence[tuple[bytes, Mapping[str, str]]],
) -> tuple[dict[str, int], list[str]]:
    """Counts for the table, and violations. Of a key that was dropped twice, the last version counts."""
    counts = {"datasets": 0, "  answered line for line": 0, "  failed, explained": 0, "  lines": 0, "  calls": 0}
    wrong: list[str] = []
    for dataset in {one.key: one for one in given}.values():
        counts["datasets"] += 1
        counts["  lines"] += len(dataset.lines)
        answer, failure = (results.get(dataset.key + suffix) for suffix in (".out", ".err"))
        if failure:
            counts["  failed, explained"] += 1
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
    for number, (found, expected) in enumerate(zip(lines, dataset.answers, strict=False), 1):
        # A time-out that the run asks for may refuse any line; it is in the errors then.
        if found != expected and not (found == "" and number in refused):
            yield f"{dataset.key}: line {number} is not its answer"
            return
