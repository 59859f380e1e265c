"""The audit of a run: each request has its outcome, the right one, and no other."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime

from sluice import keys
from sluice.inputs.identity import key_of_version
from sluice.processing.result import SOURCE_VERSION, TRACE_ID, owner_of
from tests.simulation.billing import BilledRequest, check_calls
from tests.simulation.endpoint import REFUSED, answer_to_line
from tests.simulation.requests import Object, Registry, Request
from tests.simulation.s3 import Version
from tests.simulation.services import Services
from tests.simulation.sqs import Message
from tests.simulation.violation import Violation
from tests.support.fakes import NOW

# Any request may fail for these: the retries were exhausted, or the model took too long.
_RETRYABLE = {"capacity", "configuration", "transient", "crashed"}
_ANY_REQUEST = {"ModelTimeout"}
_REASON = {"ErrorCode", "ErrorMessage", "TraceId", "InferenceId", "Attempts", "FailedAt"}
_LAST_RECEIVE = 90  # seconds that it takes at most
_BOTH = "answered and failed"
_LATE = 0.001  # seconds: an answer that is stored in the same moment


class Audit:
    """Checks a run that has ended. `counts` are for the report."""

    def __init__(self, services: Services, registry: Registry) -> None:
        self.counts: Counter[str] = Counter()
        self._services = services
        self._registry = registry
        self._results = services.results
        self._letters: dict[str, list[Message]] = defaultdict(list)  # by client, and by body
        for letter in services.dead_letters.messages.values():
            self._letters[letter.client].append(letter)
            self._letters[letter.body].append(letter)
        self._failures_by_owner: dict[str, list[str]] = defaultdict(list)
        for key in self._results.versions:
            stored = self._results.current(key)
            if stored is not None and key.endswith(keys.ERR) and (owner := owner_of(stored.head)):
                self._failures_by_owner[owner].append(key)

    def violations(self) -> list[Violation]:
        """All violations."""
        found = [Violation("", text) for text in self._services.unforeseen]
        for request in self._registry.requests.values():
            found += [
                Violation(request.client, f"{request.kind} {request.owner!r}: {text}")
                for text in self._of_request(request)
            ]
        for one in self._registry.objects.values():
            found += [Violation(one.client, f"{one.kind} {one.name}: {text}") for text in self._of_object(one)]
        for letter in self._services.dead_letters.messages.values():
            if not letter.attributes.keys() >= _REASON and not self._is_moved(letter):
                found.append(Violation(letter.client, f"a dead letter without its reason: {letter.body[:100]}"))
        found += check_calls(self._services, self._billed(), self.counts)
        self.counts["dead letters"] = len(self._services.dead_letters.messages)
        return found

    def _of_request(self, one: Request) -> Iterator[str]:
        self.counts["requests"] += 1
        out, err = self._results.current(one.out), self._results.current(one.err)
        is_answered, is_failed = _owner(out) == one.owner, _owner(err) == one.owner
        attacks = self._registry.attacks.get(one.owner, [])
        letters = [letter for text in one.messages.values() for letter in self._letters[text]]
        yield from self._of_outcome(one.client, out if is_answered else None, err if is_failed else None, letters)
        if err is not None and not is_failed:
            yield f"its .err is that of {_owner(err)!r}"
        if out is not None and not is_answered:
            yield from self._of_taken_name(one, out)
        if is_answered and out is not None:
            yield from self._of_answer(one, out, attacks)
        elif is_failed and err is not None:
            codes = one.codes | ({"InvalidMessage"} if attacks else set())
            yield from self._of_failure(err, codes, letters, is_attacked=bool(attacks))

    def _of_answer(self, one: Request, out: Version, attacks: list[tuple[float, bytes]]) -> Iterator[str]:
        endpoint = self._services.endpoint
        if any(out.body in endpoint.answers_to(body) for body in one.answers):
            return
        first = self._services.stored.get((one.out, one.owner), 0.0)
        for at, body in attacks:
            if out.body in endpoint.answers_to(body):
                self.counts["requests answered for another sender of their ID"] += 1
                if first < at - _LATE:
                    yield "another sender of its ID has replaced its answer"
                return
        yield f"its answer is {(out.body or b'')[:60]!r}"

    def _of_taken_name(self, one: Request, out: Version) -> Iterator[str]:
        """The name of the result is another request's: only one with the same Filename may have it."""
        owner = _owner(out)
        first = self._services.stored.get((one.out, one.owner))
        if first is not None:
            yield f"{owner!r} has taken the place of its result"
        elif not one.out.startswith(keys.FILES_PREFIX):
            yield f"its result is that of {owner!r}"

    def _of_object(self, one: Object) -> Iterator[str]:
        self.counts["requests"] += len(one.uploads)
        self.counts["uploads replaced by a newer one"] += len(one.uploads) - 1
        owners = {key_of_version(one.bucket, one.key, upload.version_id): upload for upload in one.uploads}
        out, err = self._results.current(one.name + keys.OUT), self._results.current(one.name + keys.ERR)
        if one.is_deleted:
            failures = [key for owner in owners for key in self._failures_by_owner[owner]]
            if _owner(out) not in owners and not failures:
                yield from self._of_outcome(one.client, None, None, self._letters[one.client])
            return
        newest, newest_id = list(owners)[-1], one.uploads[-1].version_id
        for what, stored in ((".out", out), (".err", err)):
            if stored is not None and _owner(stored) not in owners:
                yield f"its {what} is of {_owner(stored)}, which is no upload"
        is_answered, is_failed = _owner(out) == newest, _owner(err) == newest
        letters = [letter for letter in self._letters[one.client] if newest_id in letter.body]
        yield from self._of_outcome(one.client, out if is_answered else None, err if is_failed else None, letters)
        if out is not None and not is_answered and not is_failed:
            yield "the answer to an older upload is shown"
        if err is not None and not is_failed:
            yield from self._unless_killed(one.client, "the .err of an older upload is left")
        spare = set(self._failures_by_owner[newest]) - {one.name + keys.ERR}
        if spare and (is_answered or is_failed):
            yield from self._unless_killed(one.client, f"{spare} is left beside its outcome")
        if is_answered and out is not None:
            yield from self._of_upload(one, out, newest)
        if is_failed and err is not None and not is_answered:
            yield from self._of_failure(err, one.codes, letters, is_attacked=False)

    def _of_upload(self, one: Object, out: Version, owner: str) -> Iterator[str]:
        upload = one.uploads[-1]
        if out.metadata.get(SOURCE_VERSION) != upload.version_id:
            yield f"its source-version is {out.metadata.get(SOURCE_VERSION)}"
        if one.lines:
            yield from self._of_dataset(one, out, owner)
        elif out.body not in self._services.endpoint.answers_to(upload.body):
            yield f"its answer is {(out.body or b'')[:60]!r}"
        elif out.metadata.get(TRACE_ID) != one.trace_ids.get(upload.version_id, owner):
            yield f"its trace ID is {out.metadata.get(TRACE_ID)}"

    def _of_dataset(self, one: Object, out: Version, owner: str) -> Iterator[str]:
        lines = one.lines[one.uploads[-1].version_id]
        self.counts["lines of datasets"] += len(lines)
        summary = self._results.current(one.name + keys.SUMMARY)
        errors = self._results.current(one.name + keys.ERRORS)
        if errors is not None and _owner(errors) != owner:
            yield "its errors are those of another version"
        refused = {json.loads(line)["Line"] for line in ((errors and errors.body) or b"").splitlines()}
        counted = json.loads((summary and summary.body) or b"{}")
        if (counted.get("records"), counted.get("failed")) != (len(lines), len(refused)):
            yield f"its summary is {counted}, for {len(lines)} lines of which {len(refused)} failed"
        answers = (out.body or b"").split(b"\n")[:-1]
        if len(answers) != len(lines):
            yield f"{len(answers)} lines for {len(lines)}"
        for number, (answer, line) in enumerate(zip(answers, lines, strict=False), 1):
            if (answer == b"") != (number in refused) or (line.endswith(REFUSED) and answer):
                yield f"line {number} is {answer!r}, and {'is' if number in refused else 'is not'} in the errors"
                return
            if answer and answer != answer_to_line(line):
                yield f"line {number} has another answer"
                return

    def _of_outcome(
        self,
        client: str,
        out: Version | None,
        err: Version | None,
        letters: list[Message],
    ) -> Iterator[str]:
        """Exactly one of the two."""
        if out is not None and err is not None:
            yield from self._unless_killed(client, _BOTH)
        elif out is not None:
            self.counts["answered"] += 1
        elif err is not None:
            self.counts["failed, with a reason"] += 1
        elif any(map(self._is_moved, letters)):
            self.counts["dead letters without a reason: the crashed function was cut off at each receive"] += 1
        elif any(map(self._is_of_storm, letters)):
            self.counts["dead letters without an .err: S3 refused it through the last receive"] += 1
        else:
            yield "lost: neither .out nor .err"

    def _is_moved(self, letter: Message) -> bool:
        """Whether SQS has moved the message, because the crashed function came to no outcome at any receive either."""
        return letter.message_id in self._services.crashed.moved

    def _is_of_storm(self, letter: Message) -> bool:
        """Whether S3 refused everything at a time of the last receive, in which the `.err` is tried several times."""
        if "storms" in self._services.off or "FailedAt" not in letter.attributes:
            return False
        failed_at = (datetime.fromisoformat(letter.attributes["FailedAt"].value) - NOW).total_seconds()
        return any(self._services.faults.was_storm("s3", failed_at - second) for second in range(1, _LAST_RECEIVE))

    def _unless_killed(self, client: str, text: str) -> Iterator[str]:
        """The case of docs/outcomes.md in which nobody comes again: a worker was killed between its two steps."""
        if self._services.kills_of[client]:
            self.counts[f"{text}: killed between two steps"] += 1
        else:
            yield text

    def _of_failure(self, err: Version, codes: set[str], letters: list[Message], *, is_attacked: bool) -> Iterator[str]:
        document = json.loads(err.body or b"{}")
        code = document["ErrorCode"]
        self.counts[f"  {code}"] += 1
        if code not in {*codes, *_ANY_REQUEST} and document["FailureClass"] not in _RETRYABLE:
            yield f"failed as {code}: {document['ErrorMessage']}"
        if document["MessageId"] in self._registry.forged and not is_attacked:
            yield "its .err is of a forged message"
        if not letters and not is_attacked:
            yield ".err without a dead letter"

    def _billed(self) -> Iterator[BilledRequest]:
        for one in self._registry.requests.values():
            if self._registry.sharing[one.call_key] > 1:
                continue  # their calls have one InferenceId
            yield BilledRequest(one.client, one.call_key, one.owner, one.out)
        for found in self._registry.objects.values():
            if found.lines:
                continue
            for upload in found.uploads:
                owner = key_of_version(found.bucket, found.key, upload.version_id)
                key = found.trace_ids.get(upload.version_id, owner)
                yield BilledRequest(found.client, key, owner, found.name + keys.OUT)


def _owner(stored: Version | None) -> str | None:
    return None if stored is None else owner_of(stored.head)
