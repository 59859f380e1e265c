"""The core's ports on AWS: the one module that calls boto3 clients, and turns their errors into `ServiceError`."""

import base64
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from sluice.aws.clients import Clients
from sluice.failures import Operation, ServiceError
from sluice.ports import (
    Attribute,
    Inference,
    InputObject,
    ObjectTooLarge,
    ObjectVersion,
    PreconditionFailed,
    StoredObject,
)

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_sagemaker_runtime.client import SageMakerRuntimeClient

    from sluice.aws.http.s3 import LeanS3
    from sluice.aws.http.sagemaker import LeanSageMakerRuntime

# S3 on a conditional write: the condition failed, another write was under way, the object to replace is gone.
_LOST_RACE = {409, 412}


@contextmanager
def translate_errors(operation: Operation, *, private: Collection[str] = ()) -> Iterator[None]:
    """Raise `ServiceError` for whatever botocore raises; a private one for the codes in `private`."""
    try:
        yield
    except ClientError as error:
        raise _service_error(operation, error, private) from error
    except BotoCoreError as error:
        raise ServiceError(operation, type(error).__name__, str(error)) from error


def _service_error(operation: Operation, error: ClientError, private: Collection[str]) -> ServiceError:
    response: Mapping[str, Any] = error.response
    detail = response.get("Error", {})
    code = detail.get("Code", "Unknown")
    return ServiceError(
        operation,
        code,
        detail.get("Message") or response.get("Message") or str(error),
        status=status_of(error),
        original_status_code=response.get("OriginalStatusCode"),
        original_message=response.get("OriginalMessage"),
        log_stream_arn=response.get("LogStreamArn"),
        private=code in private,
    )


def status_of(error: ClientError) -> int | None:
    """The HTTP status of an error response."""
    status: int | None = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


@contextmanager
def conditional_write(replaces: StoredObject | None) -> Iterator[dict[str, Any]]:
    """The parameters of a write that is to replace `replaces`, or nothing. Raises `PreconditionFailed` when it lost."""
    try:
        yield {"IfMatch": replaces.etag} if replaces else {"IfNoneMatch": "*"}
    except ClientError as error:
        # With If-Match, 404 says that the object to replace has gone; a missing bucket is another matter.
        gone = replaces and error.response["Error"]["Code"] == "NoSuchKey"
        if gone or status_of(error) in _LOST_RACE:
            raise PreconditionFailed from error
        raise


class SageMakerEndpoint:
    """`Endpoint` on the sagemaker-runtime client, which must make one attempt only: its retries would bill twice.

    Without `model_messages`, what the model says in its errors is private.
    """

    def __init__(self, client: "SageMakerRuntimeClient | LeanSageMakerRuntime", *, model_messages: bool = True) -> None:
        self._client = client
        self._private = () if model_messages else ("ModelError",)

    def invoke(self, endpoint_name: str, body: bytes, parameters: Mapping[str, str]) -> Inference:
        """Call InvokeEndpoint and read the whole answer."""
        arguments: dict[str, Any] = dict(parameters)
        with translate_errors(Operation.INVOKE, private=self._private):
            response = self._client.invoke_endpoint(EndpointName=endpoint_name, Body=body, **arguments)
            return Inference(
                body=response["Body"].read(),
                content_type=response.get("ContentType"),
                invoked_production_variant=response.get("InvokedProductionVariant"),
                custom_attributes=response.get("CustomAttributes"),
                new_session_id=response.get("NewSessionId"),
                closed_session_id=response.get("ClosedSessionId"),
            )


class S3Inputs:
    """`Inputs` on the S3 client."""

    def __init__(self, client: "S3Client | LeanS3") -> None:
        self._client = client

    def get(self, bucket: str, key: str, *, max_bytes: int) -> InputObject:
        """GetObject, unless it is larger than `max_bytes`."""
        with translate_errors(Operation.READ_INPUT):
            response = self._client.get_object(Bucket=bucket, Key=key)
            # Not `with` the body itself: that gives urllib3's stream, and urllib3's errors.
            with closing(response["Body"]) as stream:
                if response["ContentLength"] > max_bytes:
                    raise ObjectTooLarge(response["ContentLength"])
                body = stream.read()
            return InputObject(
                body=body,
                content_type=response.get("ContentType"),
                version=version_of(response),
                metadata=response.get("Metadata", {}),
            )

    def current(self, bucket: str, key: str) -> ObjectVersion | None:
        """HeadObject of the newest version."""
        with translate_errors(Operation.READ_INPUT):
            try:
                return version_of(self._client.head_object(Bucket=bucket, Key=key))
            except ClientError as error:
                if status_of(error) == 404:
                    return None
                raise


class S3Results:
    """`Results` on the S3 client and one bucket."""

    def __init__(self, client: "S3Client | LeanS3", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def head(self, key: str) -> StoredObject | None:
        """HeadObject; None for 404."""
        with translate_errors(Operation.STORE_RESULT):
            try:
                response = self._client.head_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if status_of(error) == 404:
                    return None
                raise
            return StoredObject(etag=response["ETag"], metadata=response["Metadata"])

    def put(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str | None,
        metadata: Mapping[str, str],
        replaces: StoredObject | None,
    ) -> None:
        """PutObject with `If-None-Match: *`, or with `If-Match` of the ETag that it replaces."""
        arguments: dict[str, Any] = {}
        # Stated here, it goes into a header; left to boto3, it would follow the body in chunks, for twice the CPU time.
        arguments["ChecksumCRC32"] = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
        # A model may call its answer anything, but S3 takes no header that isn't ASCII; the answer has been paid for.
        if content_type and content_type.isascii():
            arguments["ContentType"] = content_type
        with translate_errors(Operation.STORE_RESULT), conditional_write(replaces) as condition:
            self._client.put_object(
                Bucket=self._bucket, Key=key, Body=body, Metadata=dict(metadata), **arguments, **condition
            )

    def put_error(self, key: str, document: bytes) -> None:
        """PutObject of an `.err` document."""
        with translate_errors(Operation.STORE_RESULT):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=document, ContentType="application/json")

    def delete(self, key: str) -> None:
        """DeleteObject."""
        with translate_errors(Operation.STORE_RESULT):
            self._client.delete_object(Bucket=self._bucket, Key=key)


class SqsDeadLetters:
    """`DeadLetters` on the SQS client and one queue."""

    def __init__(self, clients: Clients, queue_url: str) -> None:
        self._clients = clients
        self._queue_url = queue_url

    def send(self, body: str, attributes: Mapping[str, Attribute]) -> None:
        """SendMessage."""
        with translate_errors(Operation.DEAD_LETTER):
            self._clients.sqs.send_message(
                QueueUrl=self._queue_url,
                MessageBody=body,
                MessageAttributes={
                    name: {"DataType": attribute.data_type, "StringValue": attribute.value}
                    for name, attribute in attributes.items()
                },
            )


class SqsRequestQueue:
    """`RequestQueue` on the SQS client and one queue."""

    def __init__(self, clients: Clients, queue_url: str) -> None:
        self._clients = clients
        self._queue_url = queue_url

    def delay(self, receipt_handle: str, seconds: int) -> None:
        """ChangeMessageVisibility."""
        with translate_errors(Operation.DELAY):
            self._clients.sqs.change_message_visibility(
                QueueUrl=self._queue_url, ReceiptHandle=receipt_handle, VisibilityTimeout=seconds
            )


def version_of(response: Mapping[str, Any]) -> ObjectVersion:
    """Which version of an object a HeadObject or GetObject response is of."""
    version_id = response.get("VersionId")
    return ObjectVersion(None if version_id == "null" else version_id, response["ETag"].strip('"'))
