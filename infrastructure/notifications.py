"""Completion notifications: SNS topics for results and failures, and the function that publishes to them."""

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infrastructure import encryption
from infrastructure.environment import powertools
from infrastructure.errors import SettingsError
from infrastructure.event_sources import S3, Subscription, allow_send, configure_notifications
from infrastructure.lambda_constants import FAILURE_SUFFIX, RESULT_PREFIXES, RESULT_SUFFIX
from infrastructure.queue_function import FunctionDefaults, FunctionSpec, QueueFunction
from infrastructure.queues import Queues
from infrastructure.settings import Settings
from infrastructure.storage import Storage
from infrastructure.timeouts import NOTIFY_TIMEOUT_SECONDS

_MEMORY_MB = 256
_BATCH_SIZE = 10  # published one after another, in about half a second
_MAX_EVENT_SOURCE_CONCURRENCY = 1000  # Lambda, ScalingConfig.MaximumConcurrency
_SUFFIXES = {"Success": RESULT_SUFFIX, "Error": FAILURE_SUFFIX}


class Notifications(Construct):
    """The topics in the settings and the notify function. It is empty when the settings have neither topic.

    `topics` has the topics by kind, Success or Error; `functions` has the notify function, if there is one.

    Raises `SettingsError` when notifications are set for an existing results bucket.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, storage: Storage, queues: Queues, defaults: FunctionDefaults
    ) -> None:
        super().__init__(scope, construct_id)
        settings = defaults.settings
        self.topics = self._topics(settings)
        self.functions: tuple[QueueFunction, ...] = ()
        if not (self.topics or settings.notifications.event_bridge):
            return
        results = storage.own_results_bucket
        if results is None:
            raise SettingsError(
                "sluice.notifications: needs a results bucket that the pipeline makes, because the notifications of a "
                "bucket are set as a whole; leave it out, or the argument results_bucket"
            )
        queue = queues.notification_queue
        subscriptions: list[Subscription] = []
        if queue is not None:
            allow_send(queue, S3)
            if storage.own_input_bucket is None:  # otherwise S3 is allowed to use the key already
                encryption.allow_service(queue.encryption_master_key, S3)
            # S3 refuses two destinations whose filters overlap. No two of these do.
            subscriptions = [
                Subscription(queue, prefix, _SUFFIXES[kind]) for prefix in RESULT_PREFIXES for kind in self.topics
            ]
            self.functions = (QueueFunction(self, "Notify", self._spec(settings, storage, queue), defaults),)
        configure_notifications(results, subscriptions, event_bridge=settings.notifications.event_bridge)

    def _topics(self, settings: Settings) -> dict[str, sns.ITopic]:
        given = {"Success": settings.notifications.success_topic, "Error": settings.notifications.error_topic}
        return {kind: self._topic(f"{kind}Topic", topic) for kind, topic in given.items() if topic}

    def _topic(self, construct_id: str, given: str | bool) -> sns.ITopic:  # noqa: FBT001 - the setting as it is
        if isinstance(given, str):
            return sns.Topic.from_topic_arn(self, construct_id, given)
        # The AWS managed key allows all principals that may publish or subscribe. The policy of a customer's key would
        # have to name each of them.
        key = kms.Alias.from_alias_name(self, f"{construct_id}Key", "alias/aws/sns")
        return sns.Topic(self, construct_id, master_key=key, enforce_ssl=True)

    def _spec(self, settings: Settings, storage: Storage, queue: sqs.Queue) -> FunctionSpec:
        results = storage.results_bucket
        return FunctionSpec(
            handler="notify.handler",
            description="publishes notifications of results and failures",
            queue=queue,
            environment={
                "SLUICE_INPUT_BUCKET": storage.input_bucket.bucket_name,
                "SLUICE_RESULTS_BUCKET": results.bucket_name,
                **{f"SLUICE_{kind.upper()}_TOPIC_ARN": topic.topic_arn for kind, topic in self.topics.items()},
                **powertools(settings),
            },
            statements=[
                iam.PolicyStatement(
                    sid="ReadResults",
                    actions=["s3:GetObjectVersion"],  # the events name versions
                    resources=[results.arn_for_objects("*")],
                ),
                # Without it, S3 answers 403 instead of 404 for a version that was deleted, and the notification would
                # be retried for days.
                iam.PolicyStatement(
                    sid="TellMissingFromForbidden", actions=["s3:ListBucket"], resources=[results.bucket_arn]
                ),
                iam.PolicyStatement(
                    sid="PublishNotifications",
                    actions=["sns:Publish"],
                    resources=list(dict.fromkeys(topic.topic_arn for topic in self.topics.values())),
                ),
                iam.PolicyStatement(
                    sid="TakeEvents",
                    actions=["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
                    resources=[queue.queue_arn],
                ),
                *encryption.statements(read=[results.encryption_key, queue.encryption_master_key], read_and_written=[]),
            ],
            memory_mb=_MEMORY_MB,
            timeout_seconds=NOTIFY_TIMEOUT_SECONDS,
            batch_size=_BATCH_SIZE,
            # As many as there are concurrent requests, so that results never arrive faster than they are published.
            maximum_concurrency=min(_MAX_EVENT_SOURCE_CONCURRENCY, settings.concurrent_requests),
        )
