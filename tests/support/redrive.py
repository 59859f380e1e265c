"""A dead-letter queue and the `.err` objects of its requests in memory, and redrives of them."""

import io
import json
from collections.abc import Callable, Collection, Iterable
from datetime import timedelta
from typing import Any, cast

from botocore.exceptions import ClientError

from cli.dlq.dead_letter import DeadLetter
from cli.dlq.reader import Reader
from cli.dlq.redrive import Redrive, RedriveReport
from cli.dlq.routing import MessageBuilder
from cli.lookup.failures import Failures
from cli.sqs import RateLimit
from tests.support.fakes import SETTINGS
from tests.support.queues import BEGAN, FakeSqs, Killed, Stored

DLQ, REQUESTS = "dead", "requests"
BUILDER = MessageBuilder(SETTINGS, lambda kind: REQUESTS, {}, 1_040_384)


class S3:
    """The `.err` of each request that is `stored`. Its owner may be another, and access may be denied."""

    def __init__(self, stored: Collection[str] = (), *, owner: str | None = None, is_denied: bool = False) -> None:
        self._owner = owner
        self._stored = {f"messages/{one}.err" for one in stored}
        self._is_denied = is_denied
        self._tags: dict[str, Any] = {}
        self.asked = 0

    def get_object_tagging(self, Key: str, **_: Any) -> Any:  # noqa: N803
        return {**self._head(Key), "TagSet": self._tags.get(Key, [])}

    def put_object_tagging(self, Key: str, Tagging: Any, **_: Any) -> Any:  # noqa: N803
        self._tags[Key] = Tagging["TagSet"]
        return self._head(Key)

    def head_object(self, Key: str, **_: Any) -> Any:  # noqa: N803
        return self._head(Key)

    def get_object(self, Key: str, **_: Any) -> Any:  # noqa: N803
        return {**self._head(Key), "Body": io.BytesIO(b'{"MessageAttributes": {"Team": "blue"}}')}

    def _head(self, key: str) -> dict[str, Any]:
        self.asked += 1
        if self._is_denied or key not in self._stored:
            code = "AccessDenied" if self._is_denied else "NoSuchKey"
            raise ClientError({"Error": {"Code": code}}, "GetObject")
        owner = key.removeprefix("messages/").removesuffix(".err")
        metadata = {"sluice-identity": self._owner or owner, "message-id": f"m-{owner}"}
        return {"ContentLength": 1, "ETag": f'"etag of {owner}"', "Metadata": metadata, "LastModified": BEGAN}

    def looks_failed(self, inference_id: str) -> bool:
        """Whether the `.err` is that of the last attempt."""
        found = Failures(cast("Any", self), "results").find(f"messages/{inference_id}.err")
        return found is not None and found.sent_again_at is None


def filled(count: int) -> FakeSqs:
    sqs = FakeSqs()
    for number in range(count):
        attributes = {"ErrorCode": "ModelError" if number % 3 else "Expired", "InferenceId": f"i{number}"}
        sqs.put(DLQ, json.dumps({"Body": number}), attributes, sent_at=BEGAN - timedelta(hours=1))
    return sqs


def reader(sqs: FakeSqs, seconds: int | None = 30) -> Reader:
    return Reader(cast("Any", sqs), DLQ, visibility_timeout=seconds)


def run(
    sqs: FakeSqs,
    is_selected: Callable[[DeadLetter], bool] = lambda _: True,
    *,
    limit: int | None = None,
    s3: S3 | None = None,
    on_sent: Callable[[int], None] = lambda _: None,
) -> tuple[RedriveReport, Reader]:
    failures = Failures(cast("Any", s3 or S3()), "results")
    with reader(sqs) as reading:
        work = Redrive(cast("Any", sqs), reading, is_selected, BUILDER, failures, RateLimit(None), limit)
        return work.run(on_sent), reading


def run_through_kills(sqs: FakeSqs, kills: Iterable[int], s3: S3 | None = None) -> None:
    """Run until the call that kills the command, for each of `kills`, and then to the end."""
    for call in kills:
        sqs.dies_at = call
        try:
            run(sqs, s3=s3)
        except Killed:
            sqs.pass_(31)
        sqs.revive()
    run(sqs, s3=s3)


def ids(sqs: FakeSqs, queue: str) -> list[str]:
    return sorted(one.attributes["InferenceId"] for one in sqs.queues.get(queue, []))


def refusing(action: str, inference_id: str) -> Callable[[str, Stored], bool]:
    return lambda asked, one: asked == action and one.attributes.get("InferenceId") == inference_id
