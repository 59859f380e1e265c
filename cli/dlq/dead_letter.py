"""A message of the dead-letter queue."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

REASON_ATTRIBUTES = (
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
"""The message attributes that the functions add to a dead letter."""

NO_REASON = "none"
"""The reason of a message without ErrorCode, which SQS or a person moved to the queue."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A received message. `attributes` are the values of its message attributes by name, as text."""

    message_id: str
    receipt_handle: str
    body: str
    sent_at: datetime
    attributes: Mapping[str, str]

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> Self:
        """The dead letter for one of `Messages` in a ReceiveMessage response."""
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
    def string_attributes(self) -> Mapping[str, str]:
        """The attributes, as `identity.of` reads them."""
        return self.attributes

    @property
    def trace_header(self) -> None:
        """None: a redrive does not keep the X-Ray header."""
        return

    @property
    def reason(self) -> str:
        """The ErrorCode."""
        return self.attributes.get("ErrorCode", NO_REASON)

    @property
    def endpoint_name(self) -> str | None:
        """The endpoint that the request was for; None when it is not known."""
        return self.attributes.get("EndpointName")

    @property
    def failed_at(self) -> datetime:
        """When the request failed: FailedAt, or without a valid one, when the message was sent to the queue."""
        try:
            failed_at = datetime.fromisoformat(self.attributes["FailedAt"])
        except (KeyError, ValueError):
            return self.sent_at
        return failed_at if failed_at.tzinfo else failed_at.replace(tzinfo=UTC)

    def fields(self) -> dict[str, Any]:
        """All that is printed of the message except its body."""
        return {
            "MessageId": self.message_id,
            "ErrorCode": self.reason,
            "FailedAt": self.failed_at,
            **{name: value for name, value in self.attributes.items() if name not in {"ErrorCode", "FailedAt"}},
        }
