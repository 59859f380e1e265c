"""The `.err` objects: whose they are, and whether their request has been sent again since.

Only the functions write and remove an `.err`. A command that sends its request again tags it, which neither writes the
object nor emits an `ObjectCreated` event. The tag names the ETag of the failure, so it says nothing of a later one.
docs/outcomes.md describes the order of the steps.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from cli.deployment import is_denied
from cli.lookup.objects import ObjectHead, described, is_gone
from cli.timefmt import format_utc
from sluice.processing.result import MESSAGE_ID, owner_of

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

SENT_AGAIN = "sluice-sent-again"
"""The tag of an `.err` whose request has been sent again: `<time> <ETag>`, in the characters that S3 takes in tags."""
_NOT_SENT = "no"
_THREADS = 10

NOT_MARKED = (
    "s3:GetObjectTagging and s3:PutObjectTagging on the results bucket are not allowed: requests that are sent again "
    "look failed until they are answered."
)
"""What `Failures.tags_are_fixed` means to the user."""


@dataclass(frozen=True, slots=True)
class ErrorKey:
    """The key of an `.err`, and the `Identity.owner` of the request that it must be of."""

    key: str
    owner: str


@dataclass(frozen=True, slots=True)
class StoredFailure:
    """An `.err`. `sent_again_at` is when a command sent its request again; None if none has, as far as is known."""

    head: ObjectHead
    document: Mapping[str, Any]
    sent_again_at: datetime | None

    @property
    def message_id(self) -> str | None:
        """The ID of the SQS message that failed."""
        return self.head.metadata.get(MESSAGE_ID)


class Failures:
    """The `.err` objects of the results bucket `bucket`. Methods raise botocore's errors."""

    def __init__(self, s3: "S3Client", bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self.tags_are_hidden = False
        """Whether the credentials do not permit reading tags, so that `sent_again_at` is not known."""
        self.tags_are_fixed = False
        """Whether the credentials do not permit tagging, so that requests look failed until they are answered."""

    def find(self, key: str) -> StoredFailure | None:
        """The `.err` at `key`; None when there is none."""
        # The tags are read first: what they say of an ETag stays true, and the content is read with its ETag.
        tags = self._tags(key)
        if tags is None:
            return None
        try:
            response = self._s3.get_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if is_gone(error):  # its request was answered meanwhile
                return None
            raise
        head = described(self._bucket, key, response)
        return StoredFailure(head, _parse(response["Body"].read()), _sent_again_at(tags, head.etag))

    @contextmanager
    def sent_again(self, requests: Sequence[Sequence[ErrorKey]]) -> Iterator[set[int]]:
        """Tag the `.err` objects of `requests`, one sequence for each message, which the block sends.

        They are tagged first, so that whoever looks after a message is sent does not take the failure for its outcome.
        The block adds the indices of the messages that AWS rejects to the set; their tags are undone, and all of them
        when AWS rejects the call.
        """
        now = datetime.now(UTC)
        errors = list(dict.fromkeys(one for request in requests for one in request))
        rejected: set[int] = set()
        with ThreadPoolExecutor(_THREADS) as executor:
            tagged = dict(zip(errors, executor.map(lambda one: self._mark(one, now), errors), strict=True))
            try:
                yield rejected
            except ClientError:
                rejected.update(range(len(requests)))
                raise
            finally:
                sent = {one for number, request in enumerate(requests) if number not in rejected for one in request}
                undone = [one for one, is_tagged in tagged.items() if is_tagged and one not in sent]
                list(executor.map(lambda one: self._tag(one.key, _NOT_SENT), undone))

    def _mark(self, error: ErrorKey, at: datetime) -> bool:
        """Tag an `.err`, and return whether it is tagged. That of another request or version stays as it is."""
        if self.tags_are_fixed:
            return False
        try:
            response = self._s3.head_object(Bucket=self._bucket, Key=error.key)
        except ClientError as refused:
            if is_gone(refused) or is_denied(refused):  # S3 may refuse to say that there is none
                return False
            raise
        head = described(self._bucket, error.key, response)
        return owner_of(head) in {None, error.owner} and self._tag(error.key, f"{format_utc(at)} {head.etag}")

    def _tag(self, key: str, value: str) -> bool:
        tags = self._tags(key)
        if tags is None:
            return False
        if self.tags_are_hidden:  # all tags are written at once, so the others must be known
            self.tags_are_fixed = True
            return False
        tag_set: Any = [{"Key": name, "Value": one} for name, one in {**tags, SENT_AGAIN: value}.items()]
        try:
            self._s3.put_object_tagging(Bucket=self._bucket, Key=key, Tagging={"TagSet": tag_set})
        except ClientError as error:
            if is_gone(error):
                return False
            if not is_denied(error):
                raise
            self.tags_are_fixed = True
            return False
        return True

    def _tags(self, key: str) -> dict[str, str] | None:
        """The tags of an object; None when there is no such object, empty when they may not be read."""
        if self.tags_are_hidden:
            return {}
        try:
            tags = self._s3.get_object_tagging(Bucket=self._bucket, Key=key)["TagSet"]
        except ClientError as error:
            if is_gone(error):
                return None
            if not is_denied(error):
                raise
            self.tags_are_hidden = True
            return {}
        return {tag["Key"]: tag["Value"] for tag in tags}


def _sent_again_at(tags: Mapping[str, str], etag: str) -> datetime | None:
    at, _, marked = tags.get(SENT_AGAIN, "").partition(" ")
    if marked != etag:
        return None
    with suppress(ValueError):
        moment = datetime.fromisoformat(at)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def _parse(body: bytes) -> Mapping[str, Any]:
    """The document; empty when it is not one that the functions write."""
    with suppress(ValueError):
        document = json.loads(body)
        if isinstance(document, dict):
            return document
    return {}
