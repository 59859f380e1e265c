"""The audit: every request, its outcome, its dead letters, and what its model calls would have been billed."""

import itertools
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local.chaos.requests import Asked

_RETRYABLE = {"capacity", "configuration", "transient", "crashed"}
_ASKED_FOR = {"ModelTimeout"}  # a fault of the run's own that may strike any request, and that no retry may mend
_KEY = re.compile(r'"key": ?"(invoke/[^"]*)"')


@dataclass(frozen=True, slots=True)
class Found:
    """What the run left: results with their metadata, dead letters, and billed calls by InferenceId.

    `lost_sends` counts, by body, the dead letters whose sending seemed to have failed, and so was tried again.
    """

    results: Mapping[str, tuple[bytes, Mapping[str, str]]]
    letters: Sequence[tuple[bytes, Mapping[str, str]]]
    billed: Mapping[str, int]
    journals: Sequence[Path]
    lost_sends: Mapping[bytes, int]


@dataclass(slots=True)
class Report:
    """Counts for the table, and each violation of the promise as a line."""

    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Deliveries:
    """How a request was delivered: `cut_off` by a kill, `at_once` with another delivery of the same."""

    begun: int = 0
    cut_off: int = 0
    at_once: int = 0
    last_begin: float = 0


def audit(asked: Sequence[Asked], found: Found) -> Report:
    """Check each request of `asked` against what was found."""
    report = Report()
    deliveries = _deliveries(found.journals)
    letters: dict[str, list[tuple[bytes, Mapping[str, str]]]] = defaultdict(list)
    for letter in found.letters:
        letters[letter[1].get("TraceId", "")].append(letter)
        if not {"ErrorCode", "ErrorMessage", "TraceId", "InferenceId", "Attempts", "FailedAt"} <= set(letter[1]):
            report.violations.append(f"a dead letter without its reason: {sorted(letter[1])}")
    replaced = {one.inference_id for one in asked if one.inference_id and one.inference_id.endswith("-old")}
    for one in asked:
        report.counts["requests"] += 1
        if one.inference_id in replaced:
            report.counts["replaced by a newer upload"] += 1
            continue
        _check(one, found, letters[one.inference_id or ""], deliveries[_identity(one)], report)
    known = {one.inference_id for one in asked}
    report.violations += [f"a dead letter of nobody: {trace}" for trace in letters if trace not in known]
    report.counts["deliveries"] = sum(one.begun for one in deliveries.values())
    report.counts["deliveries cut off by a kill"] = sum(one.cut_off for one in deliveries.values())
    report.counts["deliveries at once with another of the same request"] = sum(d.at_once for d in deliveries.values())
    return report


def _check(
    one: Asked,
    found: Found,
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
            wrong("the answer is not the model's, byte for byte")
        if answer[1].get("trace-id") != one.inference_id or not answer[1]["custom-attributes"].endswith(
            f" {one.inference_id}"
        ):
            wrong("the answer's trace ID is not the request's")
        if letters:
            report.counts["answered by a later delivery, after a dead letter"] += 1
            if delivered.begun < 2:
                wrong("answered and dead-lettered by one delivery")
    elif failure:
        _check_failure(one, failure[0], letters, delivered, found, report=report, wrong=wrong)
    else:
        report.counts["lost"] += 1
        wrong("lost: neither .out nor .err")
    billed = found.billed.get(one.inference_id or "", 0)
    if billed > 1:
        excess = billed - 1
        if excess > delivered.cut_off + delivered.at_once:
            wrong(f"billed {billed} times; killed {delivered.cut_off}, at once {delivered.at_once}")
        elif delivered.cut_off:
            report.counts["billed twice: killed between the call and the write"] += 1
        else:
            report.counts["billed twice: two deliveries at once"] += 1


def _check_failure(
    one: Asked,
    document: bytes,
    letters: Sequence[tuple[bytes, Mapping[str, str]]],
    delivered: _Deliveries,
    found: Found,
    *,
    report: Report,
    wrong: Callable[[str], None],
) -> None:
    reason = json.loads(document)
    report.counts["failed, explained"] += 1
    report.counts[f"  {reason['ErrorCode']}"] += 1
    if not letters:
        wrong(".err without a dead letter")
    if len(letters) > one.times:
        lost = found.lost_sends.get(letters[0][0], 0)
        why = "SendMessage's answer was lost" if lost else "killed before the acknowledgement, or delivered again"
        report.counts[f"dead-lettered twice: {why}"] += 1
        if len(letters) > one.times + delivered.cut_off + max(0, delivered.begun - 1) + lost:
            wrong(f"{len(letters)} dead letters")
    if not one.key and any(body != one.given for body, _ in letters):
        wrong("the dead letter's body is not the message")
    if reason["ErrorCode"] not in {*one.codes, *_ASKED_FOR} and reason["FailureClass"] not in _RETRYABLE:
        wrong(f"failed as {reason['ErrorCode']}: {reason['ErrorMessage']}")


def _identity(one: Asked) -> str:
    return one.key or one.given.decode()


def _deliveries(journals: Sequence[Path]) -> dict[str, _Deliveries]:
    """What the workers' journals say of each request: a begin without an end was cut off by a kill."""
    events = []
    for journal in journals:
        lines = [json.loads(line) for line in journal.read_text().splitlines() if line.endswith("}")]
        for line, after in itertools.pairwise([*lines, None]):
            if line and line["what"] == "begin":
                ended = after is not None and after["what"] == "end"
                until = after["at"] if ended and after else float("inf")
                events += [(line["at"], until, ended, body) for body in line["bodies"]]
    found: dict[str, _Deliveries] = defaultdict(_Deliveries)
    under_way: dict[str, list[float]] = defaultdict(list)
    for begin, until, ended, body in sorted(events):
        key = _KEY.search(body)
        identity = key[1] if key else body
        one = found[identity]
        one.begun += 1
        one.cut_off += not ended
        # A delivery that a kill cut off is under way no more; when, nobody wrote down.
        under_way[identity] = [end for end in under_way[identity] if begin < end < float("inf")]
        one.at_once += bool(under_way[identity])
        under_way[identity].append(until)
        one.last_begin = begin
    return found
