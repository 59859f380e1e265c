"""Completion events: SNS topics that are told of results and failures, and the function that tells them."""

from collections.abc import Mapping, Sequence

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infrastructure.environment import powertools
from infrastructure.functions import Functions, QueueFunction
from infrastructure.queues import NOTIFY_TIMEOUT_SECONDS, Queues
from infrastructure.settings import Settings
from infrastructure.storage import Storage

_MEMORY_MB = 256
_BATCH_SIZE = 10  # told one after another, in half a second
_SUFFIXES = {"Success": ".out", "Error": ".err"}
_PREFIXES = ("invoke/", "transform/", "messages/", "buckets/")  # of results; the parts of files are not results


class Notifications(Construct):
    """The topics that are wanted; where none is, nothing.

    The results bucket must be the stack's own: its notifications are set as a whole.
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
    ) -> None:
        super().__init__(scope, construct_id)
        topics = {
            kind: topic
            for kind, wanted in (("Success", settings.success_topic), ("Error", settings.error_topic))
            if (topic := self._topic(f"{kind}Topic", wanted)) is not None
        }
        results = storage.results_bucket
        if topics:
            queue = queues.notification_queue()
            _tell(results, queue, [_SUFFIXES[kind] for kind in topics], event_bridge=settings.results_event_bridge)
            functions.all.append(self._function(settings, storage, queue, functions, topics))
        elif settings.results_event_bridge:
            _tell(results, None, [], event_bridge=True)
        for kind, topic in topics.items():
            CfnOutput(
                Stack.of(self),
                f"{kind}TopicArn",
                value=topic.topic_arn,
                description=f"Notifications of {_SUFFIXES[kind]} objects",
            )

    def _function(
        self,
        settings: Settings,
        storage: Storage,
        queue: sqs.Queue,
        functions: Functions,
        topics: Mapping[str, sns.ITopic],
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
                **{f"SLUICE_{kind.upper()}_TOPIC_ARN": topic.topic_arn for kind, topic in topics.items()},
                **powertools(settings),
            },
            statements=[
                iam.PolicyStatement(
                    sid="ReadResults",
                    actions=["s3:GetObject", "s3:GetObjectVersion"],
                    resources=[results.arn_for_objects("*")],
                ),
                # Without it S3 says 403 of a version that has gone, and it would be asked for again for days.
                iam.PolicyStatement(
                    sid="TellMissingFromForbidden", actions=["s3:ListBucket"], resources=[results.bucket_arn]
                ),
                iam.PolicyStatement(
                    sid="PublishNotifications",
                    actions=["sns:Publish"],
                    resources=list(dict.fromkeys(topic.topic_arn for topic in topics.values())),
                ),
                iam.PolicyStatement(
                    sid="TakeEvents",
                    actions=["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
                    resources=[queue.queue_arn],
                ),
            ],
            code=functions.code,
            layer=functions.layer,
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


def _tell(bucket: s3.Bucket, queue: sqs.Queue | None, suffixes: Sequence[str], *, event_bridge: bool) -> None:
    """Let S3 tell a queue of results and failures, and EventBridge of everything in the bucket.

    With the L1 property, as `add_event_notification` and `event_bridge_enabled` each bring a Lambda function and a
    custom resource of their own. S3 takes one destination for what two filters have in common: these have nothing.
    """
    resource = bucket.node.default_child
    assert isinstance(resource, s3.CfnBucket)  # noqa: S101 - tells the type checker what CDK promises
    told = None
    if queue is not None:
        # By account, not by bucket: S3 checks the policy at once, so it must stand before the bucket.
        admitted = queue.add_to_resource_policy(
            iam.PolicyStatement(
                sid="S3OfThisAccount",
                principals=[iam.ServicePrincipal("s3.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[queue.queue_arn],
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(queue).account}},
            )
        )
        assert isinstance(admitted.policy_dependable, Construct)  # noqa: S101 - as above
        policy = admitted.policy_dependable.node.default_child
        assert isinstance(policy, sqs.CfnQueuePolicy)  # noqa: S101 - as above
        resource.add_resource_dependency(policy)
        told = [
            s3.CfnBucket.QueueConfigurationProperty(
                event="s3:ObjectCreated:*",
                queue=queue.queue_arn,
                filter=s3.CfnBucket.NotificationFilterProperty(
                    s3_key=s3.CfnBucket.S3KeyFilterProperty(
                        rules=[
                            s3.CfnBucket.FilterRuleProperty(name="prefix", value=prefix),
                            s3.CfnBucket.FilterRuleProperty(name="suffix", value=suffix),
                        ]
                    )
                ),
            )
            for prefix in _PREFIXES
            for suffix in suffixes
        ]
    resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
        queue_configurations=told,
        event_bridge_configuration=(
            s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True) if event_bridge else None
        ),
    )
