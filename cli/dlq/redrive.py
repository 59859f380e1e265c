"""Redrive: sends each dead letter to its queue, and then deletes it from the dead-letter queue."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cli.dlq.dead_letter import DeadLetter
from cli.dlq.groups import Groups
from cli.dlq.reader import Reader
from cli.dlq.routing import MessageBuilder, sender_attributes_in
from cli.lookup.failures import Failures, StoredFailure
from cli.sqs import BATCH_SIZE, OutgoingMessage, RateLimit, send_messages
from sluice.failures import Failure

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient


@dataclass(slots=True)
class RedriveReport:
    """The result of a redrive. `invalid`, `rejected` and `undeleted` are reasons by message ID."""

    sent: int = 0
    invalid: dict[str, str] = field(default_factory=dict)
    """Not sent: they are not valid with the overrides."""
    rejected: dict[str, str] = field(default_factory=dict)
    """Not sent: SQS did not accept them."""
    undeleted: dict[str, str] = field(default_factory=dict)
    """Sent, but still on the dead-letter queue. If they are sent again, each is still answered once."""


@dataclass(slots=True)
class Redrive:
    """Sends the dead letters of `reader` that are `selected`, at most `limit` of them."""

    sqs: "SQSClient"
    reader: Reader
    is_selected: Callable[[DeadLetter], bool]
    builder: MessageBuilder
    failures: Failures
    rate_limit: RateLimit
    limit: int | None = None
    report: RedriveReport = field(default_factory=RedriveReport)
    _sent: set[tuple[str | None, int]] = field(default_factory=set)
    _shared: set[str] = field(default_factory=set)

    def run(self, on_sent: Callable[[int], None]) -> RedriveReport:
        """Send the messages. `on_sent` is called with the number sent so far. Raises botocore's errors.

        If the process is killed, no message is lost: a message that was sent but not deleted is sent again by the next
        redrive, as the same request.
        """
        with ThreadPoolExecutor(BATCH_SIZE) as executor:
            for batch in self.reader.batches(self.rate_limit.batch_size):
                dead_letters = [
                    dead_letter
                    for dead_letter in batch
                    if self.is_selected(dead_letter) and not self._may_have_failed_again(dead_letter)
                ]
                if self.limit is not None:
                    dead_letters = dead_letters[: self.limit - self.report.sent]
                self._send(dead_letters, executor)
                on_sent(self.report.sent)
                if self.limit is not None and self.report.sent >= self.limit:
                    break
        return self.report

    def _may_have_failed_again(self, dead_letter: DeadLetter) -> bool:
        """Whether a dead letter from the second in which reading started may be one that was just sent."""
        return dead_letter.sent_at >= self.reader.started_at and _fingerprint(dead_letter) in self._sent

    def _send(self, dead_letters: Sequence[DeadLetter], executor: Executor) -> None:
        messages: list[OutgoingMessage] = []
        failures: list[list[StoredFailure]] = []  # of the requests in each message
        valid: list[tuple[DeadLetter, int | None]] = []  # with the index of the message, None if it has been sent
        shared: dict[str, int | None] = dict.fromkeys(self._shared)
        for dead_letter, found in zip(dead_letters, executor.map(self._failures_of, dead_letters), strict=True):
            try:
                message = self.builder.build(dead_letter, sender_attributes_in(found[0].document) if found else {})
            except Failure as failure:
                self.report.invalid[dead_letter.message_id] = failure.message
                continue
            if message.is_shared and message.body in shared:
                index = shared[message.body]
                valid.append((dead_letter, index))
                if index is not None:
                    failures[index] += found
                continue
            valid.append((dead_letter, len(messages)))
            if message.is_shared:
                shared[message.body] = len(messages)
            messages.append(message)
            failures.append(found)
        if not valid:
            return
        self.rate_limit.wait(len(messages))
        with self.failures.sent_again(failures) as not_sent:
            rejected = send_messages(self.sqs, messages)
            not_sent.update(rejected)
        self._shared.update(body for body, index in shared.items() if index not in rejected)
        self.report.rejected |= {one.message_id: rejected[index] for one, index in valid if index in rejected}
        sent = [dead_letter for dead_letter, index in valid if index not in rejected]
        self.report.sent += len(sent)
        self._sent.update(_fingerprint(dead_letter) for dead_letter in sent)
        self.report.undeleted |= self.reader.delete(sent)

    def _failures_of(self, dead_letter: DeadLetter) -> list[StoredFailure]:
        """The stored failures of the requests of a dead letter. They have the attributes that its sender gave it."""
        found = [self.failures.own(error) for error in self.builder.errors(dead_letter)]
        return [failure for failure in found if failure is not None]


def dry_run(
    dead_letters: Iterable[DeadLetter], builder: MessageBuilder, limit: int | None
) -> tuple[Groups, RedriveReport]:
    """The dead letters that a redrive would send, and a report of those that are not valid with the overrides."""
    groups, report = Groups(), RedriveReport()
    for dead_letter in dead_letters:
        try:
            builder.build(dead_letter, {})
        except Failure as failure:
            report.invalid[dead_letter.message_id] = failure.message
            continue
        groups.add(dead_letter)
        if groups.total == limit:
            break
    return groups, report


def _fingerprint(dead_letter: DeadLetter) -> tuple[str | None, int]:
    return dead_letter.attributes.get("InferenceId"), hash(dead_letter.body)
