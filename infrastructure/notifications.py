"""Completion events: SNS topics that are told of results and failures, and the function that tells them."""

from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infrastructure import encryption
from infrastructure.arrivals import S3, Told, admit, notify
from infrastructure.environment import powertools
from infrastructure.errors import SettingsError
from infrastructure.functions import Functions, QueueFunction
from infrastructure.network import Network
from infrastructure.queues import NOTIFY_TIMEOUT_SECONDS, Queues
from infrastructure.settings import Settings
from infrastructure.storage import Storage

_MEMORY_MB = 256
_BATCH_SIZE = 10  # told one after another, in half a second
_SUFFIXES = {"Success": ".out", "Error": ".err"}
_PREFIXES = ("invoke/", "transform/", "messages/", "buckets/")  # of results; the parts of files are not results


class Notifications(Construct):
    """The topics that are wanted, by what they are told of, Success or Error; where none is, nothing.

    Raises `SettingsError` where the results bucket is not the pipeline's own.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        storage: Storage,
        queues: Queues,
        functions: Functions,
        network: Network | None,
    ) -> None:
        super().__init__(scope, construct_id)
        if not (settings.success_topic or settings.error_topic or settings.results_event_bridge):
            self.topics: dict[str, sns.ITopic] = {}
            return
        results = storage.own_results_bucket
        if results is None:
            raise SettingsError(
                "sluice.success_topic, error_topic, results_event_bridge: need a results bucket of the pipeline's own, "
                "as a bucket's notifications are set as a whole; leave them out, or results_bucket"
            )
        self.topics = {
            kind: topic
            for kind, wanted in (("Success", settings.success_topic), ("Error", settings.error_topic))
            if (topic := self._topic(f"{kind}Topic", wanted)) is not None
        }
        told: list[Told] = []
        if self.topics:
            queue = queues.notification_queue()
            admit(queue, S3)
            if storage.own_input_bucket is None:  # else it is admitted to the key already
                encryption.admit(queue.encryption_master_key, S3)
            # S3 takes one destination for what two filters have in common: these have nothing.
            told = [Told(queue, prefix, _SUFFIXES[kind]) for prefix in _PREFIXES for kind in self.topics]
            functions.all.append(self._function(settings, storage, queue, functions, network))
        notify(results, told, event_bridge=settings.results_event_bridge)

    def _function(
        self,
        settings: Settings,
        storage: Storage,
        queue: sqs.Queue,
        functions: Functions,
        network: Network | None,
    ) -> QueueFunction:
        results = storage.results_bucket
        return QueueFunction(
            self,
            "Notify",
            handler="notify.handler",
            description=f"{settings.deployment_name}: tells topics of results and failures",
            settings=settings,
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
                    actions=["s3:GetObjectVersion"],  # its events name versions
                    resources=[results.arn_for_objects("*")],
                ),
                # Without it S3 says 403 of a version that has gone, and it would be asked for again for days.
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
                *encryption.statements(read=[results.encryption_key, queue.encryption_master_key], used=[]),
            ],
            code=functions.code,
            layer=functions.layer,
            network=network,
            memory_mb=_MEMORY_MB,
            timeout_seconds=NOTIFY_TIMEOUT_SECONDS,
            maximum_concurrency=min(1000, settings.concurrent_requests),  # so that no rate of results outruns it
            batch_size=_BATCH_SIZE,
        )

    def _topic(self, construct_id: str, wanted: bool | str) -> sns.ITopic | None:  # noqa: FBT001 - as it is set
        if isinstance(wanted, str):
            return sns.Topic.from_topic_arn(self, construct_id, wanted)
        if not wanted:
            return None
        # SNS's own key lets whoever may publish and subscribe do so; one of ours would have to name them all.
        key = kms.Alias.from_alias_name(self, f"{construct_id}Key", "alias/aws/sns")
        return sns.Topic(self, construct_id, master_key=key, enforce_ssl=True)
