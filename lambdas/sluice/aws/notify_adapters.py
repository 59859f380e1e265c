"""The notifier's ports on AWS, with boto3's clients."""

from collections.abc import Callable
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from sluice.aws.adapters import status_of, translate_errors, version_of
from sluice.aws.clients import Clients
from sluice.failures import Operation
from sluice.notify.notification import Notification
from sluice.ports import ObjectHead

_T = TypeVar("_T")


class S3Outcomes:
    """`Outcomes` on the S3 client and the results bucket."""

    def __init__(self, clients: Clients, bucket: str) -> None:
        self._clients = clients
        self._bucket = bucket

    def head(self, key: str, version_id: str | None) -> ObjectHead | None:
        """HeadObject of a version."""
        response = _unless_gone(lambda: self._clients.s3.head_object(**self._of(key, version_id)))
        return response and ObjectHead(
            size=response["ContentLength"],
            content_type=response.get("ContentType"),
            version=version_of(response),
            metadata=response.get("Metadata", {}),
        )

    def read(self, key: str, version_id: str | None) -> bytes | None:
        """GetObject of a version."""

        def body() -> bytes:
            return self._clients.s3.get_object(**self._of(key, version_id))["Body"].read()

        return _unless_gone(body)

    def _of(self, key: str, version_id: str | None) -> dict[str, Any]:
        version = {"VersionId": version_id} if version_id else {}
        return {"Bucket": self._bucket, "Key": key, **version}


class SnsTopics:
    """`Topics` on the SNS client."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def publish(self, topic_arn: str, notification: Notification) -> None:
        """Publish."""
        with translate_errors(Operation.NOTIFY):
            self._clients.sns.publish(
                TopicArn=topic_arn,
                Message=notification.message,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value}
                    for name, value in notification.attributes.items()
                },
            )


def _unless_gone(call: Callable[[], _T]) -> _T | None:
    """What S3 answers; None for 404, but not where it is the bucket that isn't there."""
    with translate_errors(Operation.READ_RESULT):
        try:
            return call()
        except ClientError as error:
            if status_of(error) == 404 and error.response["Error"]["Code"] != "NoSuchBucket":
                return None
            raise
