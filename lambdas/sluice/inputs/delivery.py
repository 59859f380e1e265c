"""One receive of an SQS message, as the event source mapping passes it to the function."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, Self


class IdentifiedMessage(Protocol):
    """What identifies the requests of an SQS message besides its body."""

    @property
    def message_id(self) -> str:
        """The SQS message ID."""

    @property
    def string_attributes(self) -> Mapping[str, str]:
        """The message attributes that are text, by name."""

    @property
    def trace_header(self) -> str | None:
        """The system attribute AWSTraceHeader, if there is one."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An SQS record: the body verbatim, the sender's attributes, and what SQS adds to it.

    `receive_count` counts this receive; `sent_at` is when the message came onto the queue. `sender_id` is the system
    attribute SenderId, which SQS sets: for an IAM role `<RoleId>:<session name>`, for a user the user ID (SQS API
    reference, ReceiveMessage).
    """

    message_id: str
    receipt_handle: str
    body: str
    receive_count: int
    sent_at: datetime
    trace_header: str | None
    attributes: Mapping[str, Mapping[str, Any]]
    sender_id: str = ""

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """The delivery in one of `Records` of a Lambda SQS event."""
        system = record["attributes"]
        return cls(
            message_id=record["messageId"],
            receipt_handle=record["receiptHandle"],
            body=record["body"],
            receive_count=int(system["ApproximateReceiveCount"]),
            sent_at=datetime.fromtimestamp(int(system["SentTimestamp"]) / 1000, UTC),
            trace_header=system.get("AWSTraceHeader"),
            attributes=record.get("messageAttributes") or {},
            sender_id=system.get("SenderId", ""),
        )

    @property
    def string_attributes(self) -> dict[str, str]:
        """The message attributes that are text, by name."""
        return {name: value["stringValue"] for name, value in self.attributes.items() if value.get("stringValue")}
