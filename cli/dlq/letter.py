"""A message of the dead-letter queue."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from sluice.inputs.delivery import Delivery

REASON = (
    "ErrorCode",
    "ErrorMessage",
    "OriginalStatusCode",
    "OriginalMessage",
    "LogStreamArn",
    "EndpointName",
    "TraceId",
    "InferenceId",
    "Attempts",
    "FailedAt",
)
"""The attributes that the functions give a dead letter."""

NO_REASON = "none"
"""Stands for the ErrorCode of a message that has none: SQS or a person has put it there, not a function."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as it was received: `attributes` are the text of its message attributes, by name."""

    message_id: str
    receipt_handle: str
    body: str
    sent_at: datetime
    attributes: Mapping[str, str]

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> Self:
        """The letter in one of `Messages` of a ReceiveMessage response."""
        return cls(
            message_id=message["MessageId"],
            receipt_handle=message["ReceiptHandle"],
            body=message["Body"],
            sent_at=datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC),
            attributes={
                name: value["StringValue"]
                for name, value in message.get("MessageAttributes", {}).items()
                if "StringValue" in value
            },
        )

    @property
    def reason(self) -> str:
        """Its ErrorCode."""
        return self.attributes.get("ErrorCode", NO_REASON)

    @property
    def endpoint_name(self) -> str | None:
        """The endpoint that was called, or was to be."""
        return self.attributes.get("EndpointName")

    @property
    def failed_at(self) -> datetime:
        """When it failed; where it doesn't say, when it came onto the queue."""
        try:
            failed_at = datetime.fromisoformat(self.attributes["FailedAt"])
        except (KeyError, ValueError):
            return self.sent_at
        return failed_at if failed_at.tzinfo else failed_at.replace(tzinfo=UTC)

    @property
    def delivery(self) -> Delivery:
        """It as the functions would see it, were it sent with the attributes that it has."""
        return Delivery(
            message_id=self.message_id,
            receipt_handle=self.receipt_handle,
            body=self.body,
            receive_count=1,
            sent_at=self.sent_at,
            trace_header=None,
            attributes={name: {"stringValue": value} for name, value in self.attributes.items()},
        )
