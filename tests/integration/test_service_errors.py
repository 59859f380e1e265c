"""AWS's own words: each response of tests/data/service_errors.jsonl gets its class, from boto3 and the lean one."""

from collections import Counter
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError

from sluice.aws.errors import translate_errors
from sluice.aws.http.protocol import Response, ResponseParser
from sluice.aws.http.s3_calls import got, headed, put
from sluice.aws.http.sagemaker import service_error
from sluice.failures import Failure, Operation, ServiceError, classify
from tests.support.service_errors import ROWS, ServiceErrorRow

_DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "reliability.md"
_NAMES = {"sagemaker-runtime": "InvokeEndpoint", "s3": "S3", "sqs": "SQS", "sns": "SNS", "kms": "KMS"}
_OBJECT = {"Bucket": "bucket", "Key": "key"}
_QUEUE = {"QueueUrl": "https://sqs.us-east-1.amazonaws.com/111122223333/queue"}
_CALLS: dict[tuple[str, Operation, str], tuple[str, dict[str, Any]]] = {
    ("sagemaker-runtime", Operation.INVOKE, "POST"): ("invoke_endpoint", {"EndpointName": "wine", "Body": b"x"}),
    ("s3", Operation.READ_INPUT, "POST"): ("get_object", _OBJECT),
    ("s3", Operation.READ_INPUT, "HEAD"): ("head_object", _OBJECT),
    ("s3", Operation.STORE_RESULT, "POST"): ("put_object", {**_OBJECT, "Body": b"x"}),
    ("sqs", Operation.DEAD_LETTER, "POST"): ("send_message", {**_QUEUE, "MessageBody": "x"}),
    ("sqs", Operation.SEND_PARTS, "POST"): (
        "send_message_batch",
        {**_QUEUE, "Entries": [{"Id": "0", "MessageBody": "x"}]},
    ),
    ("sns", Operation.NOTIFY, "POST"): ("publish", {"TopicArn": "arn:aws:sns:us-east-1:1:topic", "Message": "x"}),
    ("kms", Operation.STORE_RESULT, "POST"): ("generate_data_key", {"KeyId": "key", "NumberOfBytes": 32}),
}


@pytest.fixture(scope="module")
def clients() -> dict[str, Any]:
    session = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1")
    config = Config(retries={"total_max_attempts": 1})
    return {name: session.client(name, config=config) for name in sorted({row.service for row in ROWS})}  # type: ignore[call-overload]


def _with_boto3(client: Any, row: ServiceErrorRow) -> Exception:
    """What boto3 raises for a response."""

    def respond(**_: Any) -> AWSResponse:
        return row.for_botocore

    client.meta.events.register("before-send", respond, unique_id="row")
    name, arguments = _CALLS[row.service, row.operation, row.method]
    try:
        with pytest.raises(ClientError) as raised:
            getattr(client, name)(**arguments)
    finally:
        client.meta.events.unregister("before-send", unique_id="row")
    return raised.value


def _parsed(row: ServiceErrorRow) -> Response:
    """What the lean transport parses, byte by byte."""
    parser = ResponseParser(row.method)
    for byte in row.on_the_wire:
        parser.feed(bytes([byte]))
    assert parser.response is not None
    assert parser.response.status == row.status
    return parser.response


def _classified(row: ServiceErrorRow, error: Exception) -> Failure:
    with pytest.raises(ServiceError) as raised, translate_errors(row.operation):
        raise error
    return classify(raised.value)


def _check(row: ServiceErrorRow, failure: Failure) -> None:
    assert (failure.failure_class, failure.code) == (row.failure_class, row.code)
    assert (failure.attempts is not None) is row.bounded
    assert failure.message


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_each_response_has_its_class_with_boto3(clients: dict[str, Any], row: ServiceErrorRow) -> None:
    _check(row, _classified(row, _with_boto3(clients[row.service], row)))


@pytest.mark.parametrize("row", [row for row in ROWS if row.service == "sagemaker-runtime"], ids=str)
def test_each_response_of_sagemaker_has_its_class_with_the_lean_transport(
    clients: dict[str, Any], row: ServiceErrorRow
) -> None:
    lean = service_error(clients[row.service], _parsed(row))
    _check(row, _classified(row, lean))
    boto = _with_boto3(clients[row.service], row)
    assert type(lean) is type(boto)
    assert isinstance(lean, ClientError)
    assert isinstance(boto, ClientError)
    for name in {*boto.response} - {"ResponseMetadata"}:
        assert lean.response[name] == boto.response[name]  # type: ignore[literal-required]


@pytest.mark.parametrize("row", [row for row in ROWS if row.service == "s3"], ids=str)
def test_the_lean_transport_leaves_each_error_of_s3_to_boto3(row: ServiceErrorRow) -> None:
    """Its own rule is the one for HEAD and 404; any other error boto3 gets again, and parses."""
    response = _parsed(row)
    assert (headed(response), got(response), put(response)) == (None, None, None)


def test_the_table_covers_each_service_and_class() -> None:
    assert len(ROWS) == len({(row.operation, row.status, str(row.headers), row.body) for row in ROWS}), "no row twice"
    assert all(row.source for row in ROWS)
    assert {row.failure_class for row in ROWS} == {"invalid", "model", "capacity", "configuration", "transient"}
    services = Counter(row.service for row in ROWS)
    counts = ", ".join(f"{services.pop(service)} of {name}" for service, name in _NAMES.items())
    assert not services
    said = f"has {len(ROWS)} error responses: {counts}."
    assert said in " ".join(_DOCUMENT.read_text().split()), f"update docs/reliability.md: {said}"
