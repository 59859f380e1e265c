"""transform/'s ports on S3 and SQS as moto has them."""

from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws

import sluice.aws.file_adapters
from sluice.aws.clients import Clients
from sluice.aws.file_adapters import S3Files, S3Parts, SqsSender
from sluice.failures import Operation, ServiceError
from sluice.ports import ObjectVersion, PreconditionFailed, StoredObject


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clients]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with mock_aws():
        made = Clients(read_timeout_seconds=5, connections=2)
        made.s3.create_bucket(Bucket="bucket")
        yield made


def put(clients: Clients, key: str, body: bytes, **how: Any) -> str:
    return clients.s3.put_object(Bucket="bucket", Key=key, Body=body, **how)["ETag"]


def test_a_file_is_read_in_ranges_of_one_version(clients: Clients) -> None:
    etag = put(clients, "k", b"0123456789", ContentType="text/csv", Metadata={"accept": "text/csv"}).strip('"')
    files = S3Files(clients)
    facts = files.head("bucket", "k")
    assert (facts.size, facts.content_type, facts.metadata) == (10, "text/csv", {"accept": "text/csv"})
    assert facts.version == ObjectVersion(None, etag)
    assert files.read("bucket", "k", 2, 5, etag=etag) == b"234"
    assert files.read("bucket", "k", 5, 5, etag=etag) == b""
    assert files.read("bucket", "k", 8, 10, etag=None) == b"89"
    put(clients, "k", b"replaced")
    with pytest.raises(PreconditionFailed):
        files.read("bucket", "k", 2, 5, etag=etag)


def test_what_is_not_there_is_the_tables_to_judge(clients: Clients) -> None:
    with pytest.raises(ServiceError) as raised:
        S3Files(clients).head("bucket", "missing")
    assert raised.value.status == 404


def test_parts_are_listed_described_and_read(clients: Clients) -> None:
    for number in range(3):
        put(clients, f"parts/a/{number}", b"%d" % number, Metadata={"records": str(number)}, ContentType="text/csv")
    put(clients, "parts/b/0", b"other")
    parts = S3Parts(clients, clients.s3, "bucket")
    assert parts.names("parts/a/") == ["parts/a/0", "parts/a/1", "parts/a/2"]
    assert parts.names_from("parts/a/", "0") == ["parts/a/1", "parts/a/2"]
    assert list(parts.describe(["parts/a/2"])) == [{"records": "2", "content-type": "text/csv"}]


def test_many_parts_are_read_in_order(clients: Clients) -> None:
    for number in range(30):
        put(clients, f"parts/{number}", b"%d" % number)
    read = S3Parts(clients, clients.s3, "bucket").read(f"parts/{number}" for number in range(30))
    assert list(read) == [b"%d" % number for number in range(30)]


def test_a_part_that_is_gone_is_the_tables_to_judge(clients: Clients) -> None:
    with pytest.raises(ServiceError) as raised:
        list(S3Parts(clients, clients.s3, "bucket").read(["parts/missing"]))
    assert raised.value.code == "NoSuchKey"


@pytest.mark.parametrize("pieces", [[b"small"], [], [b"x" * (5 << 20)] * 5 + [b"end"]], ids=["small", "none", "large"])
def test_what_is_assembled_is_what_was_given(clients: Clients, pieces: list[bytes]) -> None:
    parts = S3Parts(clients, clients.s3, "bucket")
    parts.assemble("out", iter(pieces), content_type="text/csv", metadata={"a": "b"}, replaces=None)
    stored = clients.s3.get_object(Bucket="bucket", Key="out")
    assert stored["Body"].read() == b"".join(pieces)
    assert (stored["ContentType"], stored["Metadata"]) == ("text/csv", {"a": "b"})


def test_an_assembly_replaces_what_it_has_seen_and_nothing_else(clients: Clients) -> None:
    parts = S3Parts(clients, clients.s3, "bucket")
    etag = put(clients, "out", b"old")
    with pytest.raises(PreconditionFailed):
        parts.assemble("out", [b"new"], content_type="a/b", metadata={}, replaces=None)
    parts.assemble("out", [b"new"], content_type="a/b", metadata={}, replaces=StoredObject(etag, {}))
    assert list(parts.read(["out"])) == [b"new"]


def test_an_upload_that_fails_leaves_nothing_behind(clients: Clients) -> None:
    def breaks() -> Iterator[bytes]:
        yield b"x" * (9 << 20)
        raise ServiceError(Operation.STORE_RESULT, "SlowDown", "later")

    with pytest.raises(ServiceError, match="SlowDown"):
        S3Parts(clients, clients.s3, "bucket").assemble("out", breaks(), content_type="a/b", metadata={}, replaces=None)
    assert not clients.s3.list_multipart_uploads(Bucket="bucket").get("Uploads")
    assert S3Parts(clients, clients.s3, "bucket").names("out") == []


def test_pieces_grow_so_that_any_file_fits_into_ten_thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sluice.aws.file_adapters, "_UPLOAD", 2)
    monkeypatch.setattr(sluice.aws.file_adapters, "_LARGE_OUTPUT", 3)
    pieces = list(sluice.aws.file_adapters._pieces([b"x"] * 40))
    assert b"".join(pieces) == b"x" * 40
    assert [len(piece) for piece in pieces] == [2, 2, 2, 4, 4, 4, 6, 6, 6, 4]


def test_messages_are_sent_ten_at_a_time(clients: Clients) -> None:
    url = clients.sqs.create_queue(QueueName="queue")["QueueUrl"]
    SqsSender(clients, url).send(f"message {number}" for number in range(25))
    found: set[str] = set()
    while messages := clients.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found |= {message["Body"] for message in messages}
    assert found == {f"message {number}" for number in range(25)}


def test_a_message_of_a_batch_that_is_not_taken_is_an_error(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = {"Failed": [{"Id": "0", "Code": "InternalError", "SenderFault": False, "Message": "no"}]}
    monkeypatch.setattr(clients.sqs, "send_message_batch", lambda **_: failed)
    with pytest.raises(ServiceError, match="InternalError"):
        SqsSender(clients, "https://queue").send(["a"])
