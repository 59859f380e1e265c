"""The queues: requests, parts, files to split and to assemble, crashed requests, dead letters, and notifications."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infrastructure.lambda_constants import MAX_MESSAGE_BYTES
from infrastructure.settings import Settings
from infrastructure.timeouts import (
    ASSEMBLE_TIMEOUT_SECONDS,
    CRASHED_TIMEOUT_SECONDS,
    NOTIFY_TIMEOUT_SECONDS,
    SPLIT_TIMEOUT_SECONDS,
    least_visibility_timeout,
)

CRASHED_RECEIVES = 2  # times max_receive_count: a message may bring its receive count from the queue before
REASON_BYTES = 8 * 1024  # kept free in a request, so that its dead-letter message has room for the reason
_NOTIFICATION_RECEIVES = 1000  # the most that SQS allows: one every nine minutes for six days
_NOTIFICATION_DAYS = 14  # the longest retention that SQS allows


class Queues(Construct):
    """Encrypted queues that can be reached over TLS only. The request and dead-letter queues may be existing ones.

    `queue_of_parts` is where the functions send parts of datasets: the part queue or the request queue.
    `notification_queue` and its dead-letter queue are None unless the settings have a topic for results or failures.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        settings: Settings,
        *,
        request_queue: sqs.IQueue | None = None,
        dead_letter_queue: sqs.IQueue | None = None,
        key: kms.IKey | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._settings = settings
        self._key = key
        self.dead_letter_queue: sqs.IQueue = dead_letter_queue or self._queue(
            "DeadLetterQueue", retention_period=Duration.days(settings.retention.dead_letter_days)
        )
        # SQS moves a message to a dead-letter queue without a reason. What it moves off the other queues, after each
        # receive has crashed, therefore goes to a function that adds the reason.
        self.crashed_queue = self._queue(
            "CrashedQueue",
            retention_period=Duration.days(settings.retention.dead_letter_days),
            visibility_timeout=_visibility(CRASHED_TIMEOUT_SECONDS, settings.batching_window_seconds),
            dead_letter_queue=sqs.DeadLetterQueue(
                queue=self.dead_letter_queue, max_receive_count=CRASHED_RECEIVES * settings.retry.max_receive_count
            ),
        )
        self.request_queue: sqs.IQueue = request_queue or self._queue(
            "RequestQueue",
            visibility_timeout=Duration.seconds(settings.visibility_timeout),
            retention_period=Duration.days(settings.retention.request_days),
            receive_message_wait_time=Duration.seconds(20),
            # A body that fills a whole message would leave no room for the reason in its dead-letter message. With
            # this limit, SQS refuses it at once.
            max_message_size_bytes=MAX_MESSAGE_BYTES - REASON_BYTES,
            # The function dead-letters the last receive itself, with its reason. This redrive policy is for crashes.
            dead_letter_queue=self._redrive_to(self.crashed_queue),
        )
        # Parts have a queue of their own, so that no other request waits behind them.
        self.part_queue = self._dataset_queue("PartQueue", _visibility(settings.part_timeout))
        # Datasets without a share of their own use the request queue. The part queue is there all the same: it may hold
        # parts of an earlier deployment, which its function sends on to the request queue.
        self.queue_of_parts = self.part_queue if settings.dataset_requests else self.request_queue
        self.split_queue = self._dataset_queue("SplitQueue", _visibility(SPLIT_TIMEOUT_SECONDS))
        self.assembly_queue = self._dataset_queue("AssemblyQueue", _visibility(ASSEMBLE_TIMEOUT_SECONDS))
        self.notification_queue: sqs.Queue | None = None
        self.notification_dead_letter_queue: sqs.Queue | None = None
        if settings.notifications.topics:
            self.notification_dead_letter_queue = self._queue(
                "NotificationDeadLetterQueue", retention_period=Duration.days(_NOTIFICATION_DAYS)
            )
            self.notification_queue = self._notification_queue(self.notification_dead_letter_queue)

    def max_receive_count(self, queue: sqs.IQueue) -> int:
        """Return how often the function that `queue` invokes may receive a message."""
        return self._settings.retry.max_receive_count * (CRASHED_RECEIVES if queue is self.crashed_queue else 1)

    @property
    def encryption_keys(self) -> list[kms.IKey | None]:
        """The KMS keys of the queues that requests pass through."""
        queues = (
            self.request_queue,
            self.dead_letter_queue,
            self.crashed_queue,
            self.part_queue,
            self.split_queue,
            self.assembly_queue,
        )
        return [queue.encryption_master_key for queue in queues]

    def _dataset_queue(self, construct_id: str, visibility_timeout: Duration) -> sqs.Queue:
        return self._queue(
            construct_id,
            visibility_timeout=visibility_timeout,
            retention_period=Duration.days(self._settings.retention.request_days),
            dead_letter_queue=self._redrive_to(self.crashed_queue),
        )

    def _notification_queue(self, dead_letter_queue: sqs.Queue) -> sqs.Queue:
        """Return a queue for S3 events about results and failures, with a dead-letter queue of its own."""
        return self._queue(
            "NotificationQueue",
            visibility_timeout=_visibility(NOTIFY_TIMEOUT_SECONDS, self._settings.batching_window_seconds),
            retention_period=Duration.days(_NOTIFICATION_DAYS),
            dead_letter_queue=sqs.DeadLetterQueue(queue=dead_letter_queue, max_receive_count=_NOTIFICATION_RECEIVES),
        )

    def _redrive_to(self, queue: sqs.IQueue) -> sqs.DeadLetterQueue:
        return sqs.DeadLetterQueue(queue=queue, max_receive_count=self._settings.retry.max_receive_count)

    def _queue(
        self,
        construct_id: str,
        *,
        retention_period: Duration,
        visibility_timeout: Duration | None = None,
        receive_message_wait_time: Duration | None = None,
        max_message_size_bytes: int | None = None,
        dead_letter_queue: sqs.DeadLetterQueue | None = None,
    ) -> sqs.Queue:
        return sqs.Queue(
            self,
            construct_id,
            encryption=sqs.QueueEncryption.KMS if self._key else sqs.QueueEncryption.SQS_MANAGED,
            encryption_master_key=self._key,
            enforce_ssl=True,
            retention_period=retention_period,
            visibility_timeout=visibility_timeout,
            receive_message_wait_time=receive_message_wait_time,
            max_message_size_bytes=max_message_size_bytes,
            dead_letter_queue=dead_letter_queue,
            removal_policy=RemovalPolicy.RETAIN if self._settings.retain_data else RemovalPolicy.DESTROY,
        )


def _visibility(function_timeout_seconds: int, batching_window_seconds: int = 0) -> Duration:
    return Duration.seconds(least_visibility_timeout(function_timeout_seconds, batching_window_seconds))
