"""Implements the queue ports with SQS."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from sluice.aws.clients import Clients
from sluice.aws.errors import translate_errors
from sluice.aws.loop import Loop
from sluice.failures import Operation, ServiceError
from sluice.ports import Attribute

_BATCH = 10  # the maximum number of messages of one SendMessageBatch


class _Queue:
    """A queue, used through boto3's SQS client. Each call is made in a thread."""

    def __init__(self, loop: Loop, clients: Clients, queue_url: str) -> None:
        self._loop = loop
        self._clients = clients
        self._queue_url = queue_url


class SqsDeadLetterQueue(_Queue):
    """Implements `DeadLetterQueue` with SQS."""

    async def send(self, body: str, attributes: Mapping[str, Attribute]) -> None:
        """Call SendMessage. Raises `ServiceError`."""
        with translate_errors(Operation.DEAD_LETTER):
            await self._loop.in_thread(
                lambda: self._clients.sqs.send_message(
                    QueueUrl=self._queue_url,
                    MessageBody=body,
                    MessageAttributes={
                        name: {"DataType": attribute.data_type, "StringValue": attribute.value}
                        for name, attribute in attributes.items()
                    },
                )
            )


class SqsSourceQueue(_Queue):
    """Implements `SourceQueue` with SQS."""

    async def change_visibility(self, receipt_handle: str, seconds: int) -> None:
        """Call ChangeMessageVisibility with a timeout of `seconds`. Raises `ServiceError`."""
        with translate_errors(Operation.DELAY):
            await self._loop.in_thread(
                lambda: self._clients.sqs.change_message_visibility(
                    QueueUrl=self._queue_url, ReceiptHandle=receipt_handle, VisibilityTimeout=seconds
                )
            )


class SqsMessageSender(_Queue):
    """Implements `MessageSender` with SQS."""

    async def send(self, bodies: Iterable[str]) -> None:
        """Call SendMessageBatch for every ten messages. Raises `ServiceError`, also if SQS rejects one message."""
        remaining = iter(bodies)
        while batch := list(islice(remaining, _BATCH)):
            entries: Any = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(batch)]
            with translate_errors(Operation.SEND_PARTS):
                response = await self._loop.in_thread(self._send_batch, entries)
            for failed in response.get("Failed", []):
                raise ServiceError(Operation.SEND_PARTS, failed["Code"], failed.get("Message", "not sent"))

    def _send_batch(self, entries: Any) -> Any:
        return self._clients.sqs.send_message_batch(QueueUrl=self._queue_url, Entries=entries)
