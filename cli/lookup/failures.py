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
    """An `.err` with its key and tags."""

    key: str
    head: ObjectHead
    document: Mapping[str, Any]
    tags: Mapping[str, str]

    @property
    def sent_again_at(self) -> datetime | None:
        """When a command sent the request again; None if none has, as far as is known."""
        at, _, marked = self.tags.get(SENT_AGAIN, "").partition(" ")
        if marked != self.head.etag:
            return None
        with suppress(ValueError):
            moment = datetime.fromisoformat(at)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return None

    @property
    def message_id(self) -> str | None:
        """The ID of the SQS message that failed."""
        return self.head.metadata.get(MESSAGE_ID)


class Failures:
    """The `.err` objects of the results bucket `bucket`. Methods raise botocore's errors."""

    def __init__(self, s3: "S3Client", bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self.are_hidden = False
        """Whether the credentials do not permit reading them. Set by `own`."""
        self.tags_are_hidden = False
        """Whether the credentials do not permit reading tags, so that `sent_again_at` is not known."""
        self.tags_are_fixed = False
        """Whether the credentials do not permit tagging, so that requests look failed until they are answered."""

    def find(self, key: str) -> StoredFailure | None:
        """The `.err` at `key`; None when there is none."""
        # The tags are read first: what they say of an ETag stays true, and the content is read with its ETag.
        tags = self.tags(key)
        if tags is None:
            return None
        try:
            response = self._s3.get_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if is_gone(error):  # its request was answered meanwhile
                return None
            raise
        return StoredFailure(key, described(self._bucket, key, response), _parse(response["Body"].read()), tags)

    def own(self, error: ErrorKey) -> StoredFailure | None:
        """The `.err` of a request; None without one, when it is another request's, and when it may not be read."""
        if self.are_hidden:
            return None
        try:
            failure = self.find(error.key)
        except ClientError as refused:
            if not is_denied(refused):
                raise
            self.are_hidden = True
            return None
        return failure if failure is not None and owner_of(failure.head) in {None, error.owner} else None

    @contextmanager
    def sent_again(self, failures: Sequence[Sequence[StoredFailure]]) -> Iterator[set[int]]:
        """Tag the failures of the requests in each message, which the block sends.

        They are tagged first, so that whoever looks after a message is sent does not take the failure for its outcome.
        The block adds the indices of the messages that AWS rejects to the set; their tags are undone, and all of them
        when AWS rejects the call.
        """
        now = format_utc(datetime.now(UTC))
        by_key = {one.key: one for of_message in failures for one in of_message}
        rejected: set[int] = set()
        with ThreadPoolExecutor(_THREADS) as executor:
            tagged = executor.map(lambda one: self._tag(one, f"{now} {one.head.etag}"), by_key.values())
            undone = {key for key, is_tagged in zip(by_key, tagged, strict=True) if is_tagged}
            try:
                yield rejected
            except ClientError:
                rejected.update(range(len(failures)))
                raise
            finally:
                for number, of_message in enumerate(failures):
                    if number not in rejected:
                        undone -= {one.key for one in of_message}
                list(executor.map(lambda key: self._tag(by_key[key], _NOT_SENT), undone))

    def _tag(self, failure: StoredFailure, value: str) -> bool:
        """Tag an `.err`, and return whether it is tagged. A failure that has replaced it is not what the tag names."""
        if self.tags_are_hidden:  # all tags are written at once, so the others must be known
            self.tags_are_fixed = True
        if self.tags_are_fixed:
            return False
        tag_set: Any = [{"Key": name, "Value": one} for name, one in {**failure.tags, SENT_AGAIN: value}.items()]
        try:
            self._s3.put_object_tagging(Bucket=self._bucket, Key=failure.key, Tagging={"TagSet": tag_set})
        except ClientError as error:
            if is_gone(error):
                return False
            if not is_denied(error):
                raise
            self.tags_are_fixed = True
            return False
        return True

    def tags(self, key: str) -> dict[str, str] | None:
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


def _parse(body: bytes) -> Mapping[str, Any]:
    """The document; empty when it is not one that the functions write."""
    with suppress(ValueError):
        document = json.loads(body)
        if isinstance(document, dict):
            return document
    return {}
