"""From a stored object to a published notification. At least once: a second event of an object publishes it again."""

from sluice.failures import ServiceError
from sluice.inputs.s3_events import S3Record
from sluice.notify.notification import Notification, is_failure, of_failure, of_result
from sluice.ports import Bucket, Topics
from sluice.settings import NotifySettings


class Notifier:
    """Publishes a notification for each result and each failure."""

    def __init__(self, settings: NotifySettings, results: Bucket, topics: Topics) -> None:
        self._settings = settings
        self._results = results
        self._topics = topics

    async def notify(self, record: S3Record) -> Notification | None:
        """Publish the notification of one stored object, and return it.

        Returns None when there is nothing to publish: that version of the object is gone, or its kind has no topic any
        more. Raises `ServiceError` when AWS fails, `Failure` (invalid) when an `.err` was not written by Sluice.
        """
        topic_arn = self._settings.error_topic_arn if is_failure(record) else self._settings.success_topic_arn
        if topic_arn is None or (notification := await self._notification(record)) is None:
            return None
        await self._topics.publish(topic_arn, notification.message, notification.attributes)
        return notification

    async def _notification(self, record: S3Record) -> Notification | None:
        bucket = self._settings.input_bucket
        if is_failure(record):
            try:
                document = (await self._results.get(record.key, version_id=record.version_id)).body
            except ServiceError as error:
                if error.status == 404 and error.code != "NoSuchBucket":
                    return None
                raise
            return of_failure(record, bucket, document)
        head = await self._results.head(record.key, version_id=record.version_id)
        return None if head is None else of_result(record, bucket, head.content_type, head.metadata)
