"""The backfill itself: what has no outcome yet is sent, ten at a time."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import islice
from typing import TYPE_CHECKING, Any

from cli.backfill.event import notification
from cli.backfill.listing import Judged, Listed, Merge
from cli.backfill.place import Place
from cli.errors import CliError
from cli.pace import Pace
from cli.sending import Outgoing, send
from sluice.failures import Failure
from sluice.inputs.envelopes import parse
from sluice.inputs.requests import DroppedObject
from sluice.keys import OUT, object_name, parts_folder
from sluice.processing.router import Kind, kind_of
from sluice.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_sqs.client import SQSClient


@dataclass(frozen=True, slots=True)
class Choice:
    """Which objects are to be sent. `include` and `exclude` are glob patterns of whole keys."""

    failed: bool = False
    force: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def named(self, key: str) -> bool:
        """Whether the patterns let `key` through."""
        included = not self.include or any(fnmatchcase(key, pattern) for pattern in self.include)
        return included and not any(fnmatchcase(key, pattern) for pattern in self.exclude)


@dataclass(slots=True)
class Tally:
    """How far a backfill is. `resume_after`: all objects up to this key are done with."""

    listed: int = 0
    sent: int = 0
    answered: int = 0
    failed: int = 0
    excluded: int = 0
    unnameable: int = 0
    example: str = ""
    """A key that no result can be named after, and why."""
    resume_after: str = ""


@dataclass(frozen=True, slots=True)
class Pick:
    """An object to send, with its message. `replaces` is the name of the answer that goes before it is sent."""

    listed: Listed
    message: Outgoing
    replaces: str | None = None


@dataclass(slots=True)
class Backfill:
    """Sends the objects of `place` that `choice` lets through."""

    place: Place
    settings: Settings
    choice: Choice
    queues: Callable[[Kind], str]
    tally: Tally = field(default_factory=Tally)

    def chosen(self, every: Iterable[Judged]) -> Iterator[Pick]:
        """The objects to send."""
        for one in every:
            self.tally.listed += 1
            pick = self._pick(one)
            if pick is not None:
                yield pick

    def run(self, merge: Merge, sqs: "SQSClient", s3: "S3Client", pace: Pace, on_sent: Callable[[], None]) -> None:
        """Send them. Raises `CliError` when SQS refuses one, and botocore's errors."""
        chosen = self.chosen(merge)
        while batch := list(islice(chosen, pace.batch)):
            resume_after = merge.resume_after(pick.listed for pick in batch)
            self.tally.resume_after = max(self.tally.resume_after, resume_after or "")
            pace.wait(len(batch))
            # Before it is sent: the functions take a request that has its answer for a duplicate.
            for pick in batch:
                if pick.replaces is not None:
                    self._discard(s3, pick.replaces)
            refused = send(sqs, [pick.message for pick in batch])
            self.tally.sent += len(batch) - len(refused)
            on_sent()
            for index, why in refused.items():
                raise CliError(f"SQS did not take {batch[index].listed.key}: {why}")

    def _pick(self, one: Judged) -> Pick | None:
        listed = one.listed
        body = notification(self.place.bucket, listed)
        try:
            dropped = parse(body)[0]
            if not isinstance(dropped, DroppedObject):
                self.tally.excluded += 1  # a folder marker
                return None
            name = object_name(dropped.bucket, dropped.key, self.settings.input_bucket)
        except Failure as failure:
            self.tally.unnameable += 1
            self.tally.example = self.tally.example or f"{listed.key!r}: {failure.message}"
            return None
        if not self.choice.named(listed.key):
            self.tally.excluded += 1
        elif one.has(one.answered) and not self.choice.force:
            self.tally.answered += 1
        elif one.has(one.failed) and not (self.choice.force or self.choice.failed):
            self.tally.failed += 1
        else:
            message = Outgoing(self.queues(kind_of(dropped, self.settings)), body)
            return Pick(listed, message, name if self.choice.force and one.answered else None)
        return None

    def _discard(self, s3: "S3Client", name: str) -> None:
        """Delete an answer, and the parts that a file's was made of: they would be taken for the new one's."""
        bucket = self.settings.results_bucket
        s3.delete_object(Bucket=bucket, Key=name + OUT)
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=parts_folder(name))
        for page in pages:
            parts: Any = [{"Key": one["Key"]} for one in page.get("Contents", [])]
            if parts:
                s3.delete_objects(Bucket=bucket, Delete={"Objects": parts, "Quiet": True})
