"""The bucket and the queues as moto has them."""

import io
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from botocore.awsrequest import AWSResponse
from moto import mock_aws

import sluice.aws.pieces
import sluice.aws.storage_guard
from sluice.aws.clients import Clients
from sluice.aws.loop import Loop
from sluice.aws.s3 import S3Bucket
from sluice.aws.sagemaker import SageMakerEndpoint
from sluice.aws.sqs import SqsMessageSender
from sluice.aws.storage_guard import MAX_PAUSE_SECONDS, PAUSE_SECONDS, StorageGuard
from sluice.failures import Failure, Operation, ServiceError, classify
from sluice.ports import Condition, ObjectHead, PreconditionFailed
from sluice.processing.prefetch import prefetch
from tests.support.service_errors import ROWS, ServiceErrorRow

_T = TypeVar("_T")


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clients]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with mock_aws():
        made = Clients(read_timeout_seconds=5, connections=2)
        made.s3.create_bucket(Bucket="bucket")
        yield made


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop(threads=2)
    yield made
    assert not made.selector.get_map()
    made.close()


@pytest.fixture
def bucket(loop: Loop, clients: Clients) -> S3Bucket:
    return S3Bucket("bucket", loop, clients, read=Operation.READ_INPUT)


async def generated(*pieces: bytes) -> AsyncGenerator[bytes]:
    for piece in pieces:
        yield piece


async def every(generator: AsyncGenerator[_T]) -> list[_T]:
    async with aclosing(generator):
        return [one async for one in generator]


def put(clients: Clients, key: str, body: bytes, **how: Any) -> str:
    return clients.s3.put_object(Bucket="bucket", Key=key, Body=body, **how)["ETag"]


def test_a_file_is_read_in_ranges_of_one_version(loop: Loop, clients: Clients, bucket: S3Bucket) -> None:
    etag = put(clients, "k", b"0123456789", ContentType="text/csv", Metadata={"accept": "text/csv"}).strip('"')
    assert loop.run(bucket.head("k")) == ObjectHead(10, etag, None, "text/csv", {"accept": "text/csv"})
    assert loop.run(bucket.get_range("k", 2, 5, etag=etag)) == b"234"
    assert loop.run(bucket.get_range("k", 5, 5, etag=etag)) == b""
    assert loop.run(bucket.get_range("k", 8, 10, etag=None)) == b"89"
    put(clients, "k", b"replaced")
    with pytest.raises(PreconditionFailed):
        loop.run(bucket.get_range("k", 2, 5, etag=etag))


def test_an_object_that_is_missing_has_no_head_and_its_content_is_an_error(loop: Loop, bucket: S3Bucket) -> None:
    assert loop.run(bucket.head("missing")) is None
    with pytest.raises(ServiceError) as raised:
        loop.run(bucket.get("missing"))
    assert (raised.value.status, raised.value.code) == (404, "NoSuchKey")


def test_parts_are_listed_described_and_read(loop: Loop, clients: Clients, bucket: S3Bucket) -> None:
    for number in range(3):
        put(clients, f"parts/a/{number}", b"%d" % number, Metadata={"records": str(number)}, ContentType="text/csv")
    put(clients, "parts/b/0", b"other")
    assert loop.run(bucket.list("parts/a/")) == ["parts/a/0", "parts/a/1", "parts/a/2"]
    assert loop.run(bucket.list("parts/a/", start_after="parts/a/0")) == ["parts/a/1", "parts/a/2"]
    (head,) = loop.run(every(prefetch(bucket.head, ["parts/a/2"])))
    assert head is not None
    assert (head.metadata, head.content_type) == ({"records": "2"}, "text/csv")


def test_many_parts_are_read_in_order(loop: Loop, clients: Clients, bucket: S3Bucket) -> None:
    for number in range(30):
        put(clients, f"parts/{number}", b"%d" % number)
    read = loop.run(every(prefetch(bucket.get, [f"parts/{number}" for number in range(30)])))
    assert [one.body for one in read] == [b"%d" % number for number in range(30)]


def test_a_part_that_is_gone_is_an_error_when_its_turn_comes(loop: Loop, bucket: S3Bucket) -> None:
    with pytest.raises(ServiceError) as raised:
        loop.run(every(prefetch(bucket.get, ["parts/missing"])))
    assert raised.value.code == "NoSuchKey"


@pytest.mark.parametrize("pieces", [[b"small"], [], [b"x" * (5 << 20)] * 5 + [b"end"]], ids=["small", "none", "large"])
def test_what_is_uploaded_is_what_was_given(
    loop: Loop, clients: Clients, bucket: S3Bucket, pieces: list[bytes]
) -> None:
    content = generated(*pieces)
    loop.run(bucket.upload("out", content, content_type="text/csv", metadata={"a": "b"}, condition=Condition()))
    stored = clients.s3.get_object(Bucket="bucket", Key="out")
    assert stored["Body"].read() == b"".join(pieces)
    assert (stored["ContentType"], stored["Metadata"]) == ("text/csv", {"a": "b"})


def test_an_upload_replaces_what_it_has_seen_and_nothing_else(loop: Loop, clients: Clients, bucket: S3Bucket) -> None:
    def upload(condition: Condition) -> None:
        content = generated(b"new")
        loop.run(bucket.upload("out", content, content_type="a/b", metadata={}, condition=condition))

    put(clients, "out", b"old")
    with pytest.raises(PreconditionFailed):
        upload(Condition())
    upload(Condition.replacing(loop.run(bucket.head("out"))))
    assert loop.run(bucket.get("out")).body == b"new"


def test_a_failed_upload_is_aborted(loop: Loop, clients: Clients, bucket: S3Bucket) -> None:
    async def breaks() -> AsyncGenerator[bytes]:
        yield b"x" * (9 << 20)
        raise ServiceError(Operation.STORE_RESULT, "SlowDown", "later")

    with pytest.raises(ServiceError, match="SlowDown"):
        loop.run(bucket.upload("out", breaks(), content_type="a/b", metadata={}, condition=Condition()))
    assert not clients.s3.list_multipart_uploads(Bucket="bucket").get("Uploads")
    assert loop.run(bucket.list("out")) == []


def test_upload_parts_grow_so_that_any_file_fits_into_ten_thousand(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sluice.aws.pieces, "PIECE", 2)
    monkeypatch.setattr(sluice.aws.pieces, "_PIECES", 3)
    pieces = loop.run(every(sluice.aws.pieces.pieces(generated(*[b"x"] * 40))))
    assert b"".join(pieces) == b"x" * 40
    assert [len(piece) for piece in pieces] == [2, 2, 2, 4, 4, 4, 6, 6, 6, 4]


def _answer_with(client: Any, operation: str, row: ServiceErrorRow) -> None:
    """Have S3 respond to an operation with an error of the table."""

    def respond(**_: Any) -> AWSResponse:
        return row.for_botocore

    client.meta.events.register_first(f"before-send.s3.{operation}", respond, unique_id=operation)


def test_an_input_with_a_key_of_the_senders_says_so_although_head_gets_no_reason(
    loop: Loop, clients: Clients, bucket: S3Bucket
) -> None:
    encrypted = next(row for row in ROWS if b"stored using a form of Server Side Encryption" in row.body)
    _answer_with(clients.s3, "HeadObject", replace(encrypted, method="HEAD"))
    _answer_with(clients.s3, "GetObject", encrypted)
    with pytest.raises(ServiceError) as raised:
        loop.run(S3Bucket("bucket", loop, clients, read=Operation.READ_INPUT).head("key"))
    failure = classify(raised.value)
    assert (failure.failure_class, failure.code) == ("invalid", "InvalidRequest")
    assert "(SSE-C)" in failure.message


class _Counting:
    """An endpoint that answers, and counts its calls."""

    calls = 0

    async def invoke_endpoint(self, **_: Any) -> dict[str, Any]:
        self.calls += 1
        return {"Body": io.BytesIO(b"answer")}


def test_no_call_is_paid_for_while_its_answer_cannot_be_stored(
    loop: Loop, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = [0.0]
    monkeypatch.setattr(sluice.aws.storage_guard, "now", lambda: time[0])
    disabled = next(row for row in ROWS if row.code == "KMS.DisabledException" and row.operation.name == "STORE_RESULT")
    client: Any = _Counting()
    guard = StorageGuard()
    endpoint = SageMakerEndpoint(client, guard=guard)
    bucket = S3Bucket("bucket", loop, clients, read=Operation.STORE_RESULT, guard=guard)

    def request() -> Failure | None:
        async def main() -> None:
            inference = await endpoint.invoke("wine", b"x", {}, seconds=9)
            await bucket.put("key", inference.body, content_type=None)

        try:
            loop.run(main())
        except ServiceError as error:
            return classify(error)
        return None

    _answer_with(clients.s3, "PutObject", disabled)
    failures = [request() for _ in range(20)]
    assert client.calls == 1
    for failure in failures:
        assert failure is not None
        assert (failure.failure_class, failure.code) == ("configuration", "KMS.DisabledException")
        assert not failure.of_endpoint, "which says nothing about the endpoint"
    time[0] += PAUSE_SECONDS
    assert [request() is None for _ in range(3)] == [False] * 3
    assert client.calls == 2, "one call finds out"
    for _ in range(90):
        time[0] += 60
        request()
    assert client.calls <= 12, "in an hour and a half, however many requests there are"
    clients.s3.meta.events.unregister("before-send.s3.PutObject", unique_id="PutObject")
    time[0] += MAX_PAUSE_SECONDS
    assert [request() for _ in range(3)] == [None] * 3


def test_messages_are_sent_ten_at_a_time(loop: Loop, clients: Clients) -> None:
    url = clients.sqs.create_queue(QueueName="queue")["QueueUrl"]
    loop.run(SqsMessageSender(loop, clients, url).send(f"message {number}" for number in range(25)))
    found: set[str] = set()
    while messages := clients.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found |= {message["Body"] for message in messages}
    assert found == {f"message {number}" for number in range(25)}


def test_a_failed_entry_of_a_batch_is_an_error(loop: Loop, clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = {"Failed": [{"Id": "0", "Code": "InternalError", "SenderFault": False, "Message": "no"}]}
    monkeypatch.setattr(clients.sqs, "send_message_batch", lambda **_: failed)
    with pytest.raises(ServiceError, match="InternalError"):
        loop.run(SqsMessageSender(loop, clients, "https://queue").send(["a"]))


def test_a_version_of_an_object_is_withdrawn(loop: Loop, clients: Clients) -> None:
    """Its deletion shows the version before it again, which `previous` describes."""
    clients.s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
    bucket = S3Bucket("bucket", loop, clients, read=Operation.STORE_RESULT)

    async def main() -> None:
        first = await bucket.put("k", b"a", content_type=None, metadata={"number": "1"}, condition=Condition())
        second = await bucket.put("k", b"a", content_type=None, metadata={"number": "2"})
        await bucket.put("kk", b"another key", content_type=None)
        assert first
        assert second
        assert await bucket.previous("k", first) is None
        before = await bucket.previous("k", second)
        assert before is not None
        assert (before.version_id, before.metadata["number"]) == (first, "1")
        await bucket.delete("k", version_id=second)
        newest = await bucket.head("k")
        assert newest is not None
        assert newest.version_id == first
        await bucket.delete("k")
        third = await bucket.put("k", b"c", content_type=None)
        assert third
        assert await bucket.previous("k", third) is None, "a delete marker is before it"

    loop.run(main())


def test_the_version_before_is_deleted_after_it_was_listed(
    loop: Loop, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one before that is then the version before the named one."""
    clients.s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
    bucket = S3Bucket("bucket", loop, clients, read=Operation.STORE_RESULT)
    head = bucket.head

    async def delete_first(key: str, *, version_id: str | None = None) -> ObjectHead | None:
        monkeypatch.undo()
        await bucket.delete(key, version_id=version_id)
        return await head(key, version_id=version_id)

    async def main() -> None:
        versions = [await bucket.put("k", b"a", content_type=None) for _ in range(3)]
        monkeypatch.setattr(bucket, "head", delete_first)
        before = await bucket.previous("k", str(versions[2]))
        assert before is not None
        assert before.version_id == versions[0]

    loop.run(main())


def test_a_deletion_is_conditional(loop: Loop, clients: Clients) -> None:
    bucket = S3Bucket("bucket", loop, clients, read=Operation.STORE_RESULT)

    async def main() -> None:
        await bucket.put("k", b"a", content_type=None)
        stored = await bucket.head("k")
        await bucket.put("k", b"b", content_type=None)
        with pytest.raises(PreconditionFailed):
            await bucket.delete("k", condition=Condition.replacing(stored))
        await bucket.delete("k", condition=Condition.replacing(await bucket.head("k")))
        assert await bucket.head("k") is None

    loop.run(main())
