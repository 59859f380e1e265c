"""The queues: requests, files to split and to assemble, what crashed, and the dead letters."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infrastructure.settings import MAX_MESSAGE_BYTES, REASON_BYTES, Settings

CRASHED_TIMEOUT_SECONDS = 60  # a few S3 and SQS calls for each message of a batch
SPLIT_TIMEOUT_SECONDS = 900  # unpacking a large gzip; other files take some seconds
ASSEMBLE_TIMEOUT_SECONDS = 900  # reading and writing a large file once
NOTIFY_TIMEOUT_SECONDS = 90  # one notification that takes all its attempts, and some to spare
NOTIFY_RECEIVES = 1000  # SQS's most: every nine minutes for six days, of the fourteen that a message is kept


class Queues(Construct):
    """Encrypted queues that only TLS reaches. The request queue and the dead-letter queue may be there already."""

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
            "DeadLetterQueue", retention_period=Duration.days(settings.dead_letter_retention_days)
        )
        # SQS moves a message without a word of why. So what it takes from the request queue, as no receive came to an
        # outcome, goes by way of a function that gives it its reason.
        self.crashed_queue = self._queue(
            "CrashedQueue",
            retention_period=Duration.days(settings.dead_letter_retention_days),
            visibility_timeout=Duration.seconds(6 * CRASHED_TIMEOUT_SECONDS + settings.batching_window_seconds),
            dead_letter_queue=self._dead_letter(self.dead_letter_queue),
        )
        self.request_queue: sqs.IQueue = request_queue or self._queue(
            "RequestQueue",
            visibility_timeout=Duration.seconds(settings.visibility_timeout),
            retention_period=Duration.days(settings.request_retention_days),
            receive_message_wait_time=Duration.seconds(20),
            # A body that fills a whole message would leave its dead-letter message no room for the reason: SQS tells
            # the sender at once.
            max_message_size_bytes=MAX_MESSAGE_BYTES - REASON_BYTES,
            # The function routes the last receive itself, with its reason. This is for what it can't: crashes.
            dead_letter_queue=self._dead_letter(self.crashed_queue),
        )
        self.split_queue = self._queue(
            "SplitQueue",
            visibility_timeout=Duration.seconds(6 * SPLIT_TIMEOUT_SECONDS),
            retention_period=Duration.days(settings.request_retention_days),
            dead_letter_queue=self._dead_letter(self.crashed_queue),
        )
        self.assembly_queue = self._queue(
            "AssemblyQueue",
            visibility_timeout=Duration.seconds(6 * ASSEMBLE_TIMEOUT_SECONDS),
            retention_period=Duration.days(settings.request_retention_days),
            dead_letter_queue=self._dead_letter(self.crashed_queue),
        )
        self.notifications: sqs.Queue | None = None  # of stored results and failures, where there are topics
        self.all: list[sqs.IQueue] = [
            self.request_queue,
            self.dead_letter_queue,
            self.crashed_queue,
            self.split_queue,
            self.assembly_queue,
        ]

    def _dead_letter(self, queue: sqs.IQueue) -> sqs.DeadLetterQueue:
        return sqs.DeadLetterQueue(queue=queue, max_receive_count=self._settings.max_receive_count)

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

    def notification_queue(self) -> sqs.Queue:
        """A queue for S3 to tell of stored results and failures, with a dead-letter queue of its own."""
        dead_letter_queue = self._queue("NotificationDeadLetterQueue", retention_period=Duration.days(14))
        self.notifications = self._queue(
            "NotificationQueue",
            visibility_timeout=Duration.seconds(6 * NOTIFY_TIMEOUT_SECONDS + self._settings.batching_window_seconds),
            retention_period=Duration.days(14),
            dead_letter_queue=sqs.DeadLetterQueue(queue=dead_letter_queue, max_receive_count=NOTIFY_RECEIVES),
        )
        return self.notifications
