"""Implements `Topics` with SNS."""

from collections.abc import Mapping

from sluice.aws.clients import Clients
from sluice.aws.errors import translate_errors
from sluice.aws.loop import Loop
from sluice.failures import Operation


class SnsTopics:
    """Implements `Topics` with boto3's SNS client. Each call is made in a thread."""

    def __init__(self, loop: Loop, clients: Clients) -> None:
        self._loop = loop
        self._clients = clients

    async def publish(self, topic_arn: str, message: str, attributes: Mapping[str, str]) -> None:
        """Call Publish. Raises `ServiceError`."""
        with translate_errors(Operation.NOTIFY):
            await self._loop.in_thread(
                lambda: self._clients.sns.publish(
                    TopicArn=topic_arn,
                    Message=message,
                    MessageAttributes={
                        name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
                    },
                )
            )
