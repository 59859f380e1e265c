"""SQS in memory, with its own clock: visibility timeouts, batches that partly fail, and a caller that is killed."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

BEGAN = datetime(2026, 11, 25, 12, tzinfo=UTC)


class Killed(BaseException):
    """The process was killed: none of its later calls has an effect."""


@dataclass
class Stored:
    message_id: str
    body: str
    attributes: dict[str, str]
    sent_at: datetime
    visible_at: datetime
    receipt_handle: str | None = None


@dataclass
class FakeSqs:
    """The SQS client. Queues are identified by their URLs; `refuse` determines which entries of a batch fail."""

    now: datetime = BEGAN
    queues: dict[str, list[Stored]] = field(default_factory=dict)
    refuse: Callable[[str, Stored], bool] = lambda _action, _message: False
    dies_at: int | None = None
    """The number of the call at which the caller is killed: odd calls still take effect, even calls do not."""
    calls: int = 0
    deaths: int = 0
    call_seconds: float = 0
    """The duration of each call."""
    _ids: Any = field(default_factory=itertools.count)

    def put(self, queue_url: str, body: str, attributes: dict[str, str], *, sent_at: datetime | None = None) -> None:
        sent_at = sent_at or self.now
        message = Stored(f"id-{next(self._ids)}", body, attributes, sent_at, sent_at)
        self.queues.setdefault(queue_url, []).append(message)

    def visible(self, queue_url: str) -> list[Stored]:
        return [one for one in self.queues.get(queue_url, []) if one.visible_at <= self.now]

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def revive(self) -> None:
        self.dies_at, self.calls = None, 0

    def receive_message(self, QueueUrl: str, MaxNumberOfMessages: int, VisibilityTimeout: int, **_: Any) -> Any:  # noqa: N803
        def act() -> dict[str, Any]:
            taken = self.visible(QueueUrl)[:MaxNumberOfMessages]
            for one in taken:
                one.visible_at = self.now + timedelta(seconds=VisibilityTimeout)
                one.receipt_handle = f"{one.message_id}/{next(self._ids)}"
            return {"Messages": [_wire(one) for one in taken]} if taken else {}

        return self._call(act)

    def get_queue_attributes(self, QueueUrl: str, **_: Any) -> Any:  # noqa: N803
        visible, every = len(self.visible(QueueUrl)), len(self.queues.get(QueueUrl, []))
        return {
            "Attributes": {
                "ApproximateNumberOfMessages": str(visible),
                "ApproximateNumberOfMessagesNotVisible": str(every - visible),
            },
            "ResponseMetadata": {"HTTPHeaders": {"date": format_datetime(self.now, usegmt=True)}},
        }

    def send_message_batch(self, QueueUrl: str, Entries: list[Any]) -> Any:  # noqa: N803
        def act(entry: Any) -> bool:
            attributes = {name: one["StringValue"] for name, one in entry.get("MessageAttributes", {}).items()}
            if self.refuse("send", Stored("", entry["MessageBody"], attributes, self.now, self.now)):
                return False
            self.put(QueueUrl, entry["MessageBody"], attributes)
            return True

        return self._batch(Entries, act)

    def delete_message_batch(self, QueueUrl: str, Entries: list[Any]) -> Any:  # noqa: N803
        def act(entry: Any) -> bool:
            queue = self.queues[QueueUrl]
            found = [one for one in queue if one.receipt_handle == entry["ReceiptHandle"]]
            if not found or self.refuse("delete", found[0]):
                return False
            queue.remove(found[0])
            return True

        return self._batch(Entries, act)

    def change_message_visibility_batch(self, QueueUrl: str, Entries: list[Any]) -> Any:  # noqa: N803
        def act(entry: Any) -> bool:
            for one in self.queues[QueueUrl]:
                if one.receipt_handle == entry["ReceiptHandle"]:
                    one.visible_at = self.now + timedelta(seconds=entry["VisibilityTimeout"])
                    return True
            return False

        return self._batch(Entries, act)

    def _batch(self, entries: list[Any], act: Callable[[Any], bool]) -> Any:
        assert 1 <= len(entries) <= 10

        def every() -> Any:
            failed = [entry for entry in entries if not act(entry)]
            return {"Failed": [{"Id": entry["Id"], "Code": "InternalError", "Message": "no"} for entry in failed]}

        return self._call(every)

    def _call(self, act: Callable[[], Any]) -> Any:
        self.calls += 1
        self.pass_(self.call_seconds)
        if self.dies_at is None or self.calls < self.dies_at:
            return act()
        self.deaths += 1
        if self.calls == self.dies_at and self.calls % 2:
            act()
        raise Killed


def _wire(one: Stored) -> dict[str, Any]:
    return {
        "MessageId": one.message_id,
        "ReceiptHandle": one.receipt_handle,
        "Body": one.body,
        "Attributes": {"SentTimestamp": str(int(one.sent_at.timestamp() * 1000))},
        "MessageAttributes": {
            name: {"StringValue": value, "DataType": "String"} for name, value in one.attributes.items()
        },
    }
