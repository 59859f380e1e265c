"""Selects the objects without an outcome and sends an event for each."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import islice
from typing import TYPE_CHECKING, Any

from cli.backfill.event import event_notification
from cli.backfill.listing import Candidate, ListedObject, Merge
from cli.backfill.source import Source
from cli.errors import CliError
from cli.lookup.failures import ErrorKey, Failures
from cli.sqs import OutgoingMessage, RateLimit, send_messages
from sluice.failures import Failure
from sluice.inputs.envelopes import parse
from sluice.inputs.identity import key_of_version
from sluice.inputs.requests import DroppedObject
from sluice.keys import ERR, OUT, dataset_of_part, object_name, parts_folder
from sluice.processing.router import Kind, kind_of
from sluice.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_sqs.client import SQSClient


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which objects to send. `include` and `exclude` are glob patterns for whole keys."""

    failed: bool = False
    force: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def match_key(self, key: str) -> bool:
        """Whether the patterns select `key`."""
        included = not self.include or any(fnmatchcase(key, pattern) for pattern in self.include)
        return included and not any(fnmatchcase(key, pattern) for pattern in self.exclude)


@dataclass(slots=True)
class Counts:
    """The counts of a run. A run that starts after the key `resume_after` does what this run has not done."""

    listed: int = 0
    sent: int = 0
    answered: int = 0
    failed: int = 0
    excluded: int = 0
    unnameable: int = 0
    unnameable_example: str = ""
    """The first key that no result can be named after, and the reason."""
    resume_after: str = ""


@dataclass(frozen=True, slots=True)
class Selected:
    """An object to send, with its message, and its `.err`, if it has failed before.

    `replaced_name` is the name of the result to delete before it is sent.
    """

    object: ListedObject
    message: OutgoingMessage
    error: ErrorKey | None
    replaced_name: str | None = None


@dataclass(slots=True)
class Backfill:
    """Sends the objects of `source` that match `criteria`. `queue_url` returns the queue for a kind of request."""

    source: Source
    settings: Settings
    criteria: Criteria
    queue_url: Callable[[Kind], str]
    counts: Counts = field(default_factory=Counts)

    def select(self, candidates: Iterable[Candidate]) -> Iterator[Selected]:
        """The objects to send."""
        for candidate in candidates:
            self.counts.listed += 1
            selected = self._select(candidate)
            if selected is not None:
                yield selected

    def send(
        self,
        merge: Merge,
        sqs: "SQSClient",
        s3: "S3Client",
        rate_limit: RateLimit,
        on_sent: Callable[[], None],
    ) -> None:
        """Send the events. Raises `CliError` when SQS rejects a message, and botocore's errors."""
        selection, failures = self.select(merge), Failures(s3, self.settings.results_bucket)
        while batch := list(islice(selection, rate_limit.batch_size)):
            resume_after = merge.resume_after(selected.object for selected in batch)
            self.counts.resume_after = max(self.counts.resume_after, resume_after or "")
            rate_limit.wait(len(batch))
            # Delete first: the functions ignore a request that has an answer.
            for selected in batch:
                if selected.replaced_name is not None:
                    self._delete_result(s3, selected.replaced_name)
            found = (failures.own(one.error) if one.error else None for one in batch)
            with failures.sent_again([[one] if one else [] for one in found]) as not_sent:
                rejected = send_messages(sqs, [selected.message for selected in batch])
                not_sent.update(rejected)
            self.counts.sent += len(batch) - len(rejected)
            on_sent()
            for index, reason in rejected.items():
                raise CliError(f"SQS did not accept {batch[index].object.key}: {reason}")

    def _select(self, candidate: Candidate) -> Selected | None:
        listed = candidate.object
        body = event_notification(self.source.bucket, listed)
        try:
            dropped = parse(body)[0]
            if not isinstance(dropped, DroppedObject):  # the zero-byte marker of a folder
                self.counts.excluded += 1
                return None
            name = object_name(dropped.bucket, dropped.key, self.settings.input_bucket)
        except Failure as failure:
            self.counts.unnameable += 1
            self.counts.unnameable_example = self.counts.unnameable_example or f"{listed.key!r}: {failure.message}"
            return None
        if not self.criteria.match_key(listed.key):
            self.counts.excluded += 1
        elif candidate.is_outcome(candidate.answered) and not self.criteria.force:
            self.counts.answered += 1
        elif candidate.is_outcome(candidate.failed) and not (self.criteria.force or self.criteria.failed):
            self.counts.failed += 1
        else:
            message = OutgoingMessage(self.queue_url(kind_of(dropped, self.settings)), body)
            version = dropped.version_id or dropped.etag
            owner = key_of_version(dropped.bucket, dropped.key, version)
            error = ErrorKey(name + ERR, owner) if candidate.failed else None
            return Selected(listed, message, error, name if self.criteria.force and candidate.answered else None)
        return None

    def _delete_result(self, s3: "S3Client", name: str) -> None:
        """Delete a result and the parts of a file, which the functions would use for the new result."""
        bucket = self.settings.results_bucket
        s3.delete_object(Bucket=bucket, Key=name + OUT)
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=parts_folder(name))
        for page in pages:
            keys = [item["Key"] for item in page.get("Contents", [])]
            # The folder may also hold the parts of a file whose key continues this one's.
            parts: Any = [{"Key": key} for key in keys if dataset_of_part(key) == name]
            if parts:
                s3.delete_objects(Bucket=bucket, Delete={"Objects": parts, "Quiet": True})
