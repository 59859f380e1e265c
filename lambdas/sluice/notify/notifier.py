"""From what S3 says was stored to what is published. At least once: a second event of the same object is told again."""

from typing import Protocol

from sluice.inputs.events import S3Record
from sluice.notify.notification import Notification, is_failure, of_failure, of_result
from sluice.ports import ObjectHead
from sluice.settings import NotifySettings


class Outcomes(Protocol):
    """The results bucket, as it was when an event told of one of its objects. `version_id` is that version's."""

    def head(self, key: str, version_id: str | None) -> ObjectHead | None:
        """A result without its content; None when that version has gone. Raises `ServiceError`."""

    def read(self, key: str, version_id: str | None) -> bytes | None:
        """An `.err` document; None when that version has gone. Raises `ServiceError`."""


class Topics(Protocol):
    """SNS."""

    def publish(self, topic_arn: str, notification: Notification) -> None:
        """Publish to a topic. Raises `ServiceError`."""


class Notifier:
    """Notifies of results and failures."""

    def __init__(self, settings: NotifySettings, outcomes: Outcomes, topics: Topics) -> None:
        self._settings = settings
        self._outcomes = outcomes
        self._topics = topics

    def notify(self, record: S3Record) -> Notification | None:
        """Publish the notification of one stored object, and return it.

        None when there is nothing to tell: that version of the object has gone, or its kind has no topic any more.
        Raises `ServiceError` when AWS fails, `Failure` (invalid) when an `.err` is none of ours.
        """
        topic_arn = self._settings.error_topic_arn if is_failure(record) else self._settings.success_topic_arn
        if topic_arn is None or (notification := self._notification(record)) is None:
            return None
        self._topics.publish(topic_arn, notification)
        return notification

    def _notification(self, record: S3Record) -> Notification | None:
        bucket = self._settings.input_bucket
        if is_failure(record):
            document = self._outcomes.read(record.key, record.version_id)
            return None if document is None else of_failure(record, bucket, document)
        head = self._outcomes.head(record.key, record.version_id)
        return None if head is None else of_result(record, bucket, head.content_type, head.metadata)
