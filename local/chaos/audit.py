"""The audit: checks the outcome, the dead letters and the billed model calls of every request."""

import itertools
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local.chaos.requests import ChaosRequest

_RETRYABLE = {"capacity", "configuration", "transient", "crashed"}
_INJECTED = {"ModelTimeout"}  # an injected fault that any request may get, and that is not retried
_REASONS = "failed, with a reason"
_ROWS = (
    "requests",
    "answered",
    "answered by a later delivery, after a dead letter",
    "replaced by a newer upload",
    _REASONS,
    "lost",
    "dead-lettered twice: killed before the acknowledgement, or delivered again",
    "dead-lettered twice: SendMessage's response was lost",
    "billed twice: killed between the call and the write",
    "billed twice: two concurrent deliveries",
    "datasets",
    "  answered line for line",
    "  failed, with a reason",
    "  lines",
    "  calls",
    "deliveries",
    "deliveries cut off by a kill",
    "deliveries concurrent with another delivery of the same request",
    "workers killed",
    "storms, in which the endpoint throttled all calls",
)
"""The rows of the table in their order, as in docs/reliability.md. Each ErrorCode has a row below `_REASONS`."""
_KEY = re.compile(r'"key": ?"(invoke/[^"]*)"')


@dataclass(frozen=True, slots=True)
class Observed:
    """The state after the run: results with their metadata, dead letters, and billed calls by InferenceId.

    `lost_sends` counts, by body, the SendMessage calls that succeeded although the sender got an error.
    """

    results: Mapping[str, tuple[bytes, Mapping[str, str]]]
    letters: Sequence[tuple[bytes, Mapping[str, str]]]
    billed: Mapping[str, int]
    journals: Sequence[Path]
    lost_sends: Mapping[bytes, int]


@dataclass(slots=True)
class Report:
    """Counts for the table, and one line for each violation of the guarantee."""

    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def rows(self) -> list[tuple[str, int]]:
        """The counts in the same order in each run. Rows that a run does not have are left out."""
        codes = sorted(name for name in self.counts if name not in _ROWS)
        at = _ROWS.index(_REASONS) + 1
        return [(name, self.counts[name]) for name in (*_ROWS[:at], *codes, *_ROWS[at:]) if name in self.counts]


@dataclass(slots=True)
class _Deliveries:
    """Counts of a request's deliveries: `killed` before they ended, `concurrent` with another delivery."""

    started: int = 0
    killed: int = 0
    concurrent: int = 0


def audit(sent: Sequence[ChaosRequest], found: Observed) -> Report:
    """Check each request of `sent` against the observed state."""
    report = Report()
    deliveries = _deliveries(found.journals)
    letters: dict[str, list[tuple[bytes, Mapping[str, str]]]] = defaultdict(list)
    for letter in found.letters:
        letters[letter[1].get("TraceId", "")].append(letter)
        if not {"ErrorCode", "ErrorMessage", "TraceId", "InferenceId", "Attempts", "FailedAt"} <= set(letter[1]):
            report.violations.append(f"a dead letter without its reason: {sorted(letter[1])}")
    replaced = {one.inference_id for one in sent if one.inference_id and one.inference_id.endswith("-old")}
    for one in sent:
        report.counts["requests"] += 1
        if one.inference_id in replaced:
            report.counts["replaced by a newer upload"] += 1
            continue
        _check(one, found, letters[one.inference_id or ""], deliveries[_identity(one)], report)
    known = {one.inference_id for one in sent}
    report.violations += [f"a dead letter of an unknown request: {trace}" for trace in letters if trace not in known]
    report.counts["deliveries"] = sum(one.started for one in deliveries.values())
    report.counts["deliveries cut off by a kill"] = sum(one.killed for one in deliveries.values())
    report.counts["deliveries concurrent with another delivery of the same request"] = sum(
        one.concurrent for one in deliveries.values()
    )
    return report


def _check(
    one: ChaosRequest,
    found: Observed,
    letters: Sequence[tuple[bytes, Mapping[str, str]]],
    delivered: _Deliveries,
    report: Report,
) -> None:
    def wrong(what: str) -> None:
        report.violations.append(f"{one.kind} {one.inference_id} ({one.name}): {what}")

    answer = found.results.get(f"{one.name}.out")
    failure = found.results.get(f"{one.name}.err")
    if answer and failure:
        wrong("answered and failed")
    elif answer:
        report.counts["answered"] += 1
        if answer[0] != one.expected:
            wrong("the result is not the model's, byte for byte")
        if answer[1].get("trace-id") != one.inference_id or not answer[1]["custom-attributes"].endswith(
            f" {one.inference_id}"
        ):
            wrong("the result's trace ID is not the request's")
        if letters:
            report.counts["answered by a later delivery, after a dead letter"] += 1
            if delivered.started < 2:
                wrong("answered and dead-lettered by one delivery")
    elif failure:
        _check_failure(one, failure[0], letters, delivered, found, report=report, wrong=wrong)
    else:
        report.counts["lost"] += 1
        wrong("lost: neither .out nor .err")
    billed = found.billed.get(one.inference_id or "", 0)
    if billed > 1:
        excess = billed - 1
        if excess > delivered.killed + delivered.concurrent:
            wrong(f"billed {billed} times; killed {delivered.killed}, concurrent {delivered.concurrent}")
        elif delivered.killed:
            report.counts["billed twice: killed between the call and the write"] += 1
        else:
            report.counts["billed twice: two concurrent deliveries"] += 1


def _check_failure(
    one: ChaosRequest,
    document: bytes,
    letters: Sequence[tuple[bytes, Mapping[str, str]]],
    delivered: _Deliveries,
    found: Observed,
    *,
    report: Report,
    wrong: Callable[[str], None],
) -> None:
    reason = json.loads(document)
    report.counts[_REASONS] += 1
    report.counts[f"  {reason['ErrorCode']}"] += 1
    if not letters:
        wrong(".err without a dead letter")
    if len(letters) > one.times:
        lost = found.lost_sends.get(letters[0][0], 0)
        why = "SendMessage's response was lost" if lost else "killed before the acknowledgement, or delivered again"
        report.counts[f"dead-lettered twice: {why}"] += 1
        if len(letters) > one.times + delivered.killed + max(0, delivered.started - 1) + lost:
            wrong(f"{len(letters)} dead letters")
    if not one.key and any(body != one.body for body, _ in letters):
        wrong("the dead letter's body is not the message")
    if reason["ErrorCode"] not in {*one.codes, *_INJECTED} and reason["FailureClass"] not in _RETRYABLE:
        wrong(f"failed as {reason['ErrorCode']}: {reason['ErrorMessage']}")


def _identity(one: ChaosRequest) -> str:
    return one.key or one.body.decode()


def _deliveries(journals: Sequence[Path]) -> dict[str, _Deliveries]:
    """Count each request's deliveries from the workers' journals. A begin without an end was cut off by a kill."""
    events = []
    for journal in journals:
        lines = [json.loads(line) for line in journal.read_text().splitlines() if line.endswith("}")]
        for line, after in itertools.pairwise([*lines, None]):
            if line and line["event"] == "begin":
                ended = after is not None and after["event"] == "end"
                until = after["at"] if ended and after else float("inf")
                events += [(line["at"], until, ended, body) for body in line["bodies"]]
    found: dict[str, _Deliveries] = defaultdict(_Deliveries)
    running: dict[str, list[float]] = defaultdict(list)
    for begin, until, ended, body in sorted(events):
        key = _KEY.search(body)
        identity = key[1] if key else body
        one = found[identity]
        one.started += 1
        one.killed += not ended
        # A killed delivery counts as ended; the time of the kill is not recorded.
        running[identity] = [end for end in running[identity] if begin < end < float("inf")]
        one.concurrent += bool(running[identity])
        running[identity].append(until)
    return found
