"""How queues receive events about objects: from S3 itself, or from EventBridge for an existing input bucket."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infrastructure import encryption
from infrastructure.storage import Storage

S3 = "s3.amazonaws.com"
_EVENTBRIDGE = "events.amazonaws.com"


@dataclass(frozen=True)
class Subscription:
    """A queue that receives the events about objects created under a prefix, with a suffix if one is given."""

    queue: sqs.IQueue
    prefix: str
    suffix: str | None = None


def subscribe(scope: Construct, storage: Storage, queues: Mapping[str, sqs.IQueue]) -> None:
    """Send the events about objects created in the input bucket to `queues`, given by prefix."""
    bucket = storage.own_input_bucket
    service = S3 if bucket is not None else _EVENTBRIDGE
    for queue in queues.values():
        allow_send(queue, service)
    # One statement in a key's policy, however many queues the key encrypts.
    for key in {key.key_arn: key for queue in queues.values() if (key := queue.encryption_master_key)}.values():
        encryption.allow_service(key, service)
    if bucket is not None:
        configure_notifications(bucket, [Subscription(queue, prefix) for prefix, queue in queues.items()])
    else:
        _add_rules(scope, storage.input_bucket, queues)


def allow_send(queue: sqs.IQueue, service: str) -> None:
    """Allow an AWS service to send to `queue` on behalf of this account.

    The condition is the account and not the bucket, because S3 requires this policy before the bucket exists. The
    policy of an imported queue can't be changed from here; docs/construct.md has the statement.
    """
    queue.add_to_resource_policy(
        iam.PolicyStatement(
            sid="S3OfThisAccount" if service == S3 else "EventBridgeOfThisAccount",
            principals=[iam.ServicePrincipal(service)],
            actions=["sqs:SendMessage"],
            resources=[queue.queue_arn],
            conditions={"StringEquals": {"aws:SourceAccount": Stack.of(queue).account}},
        )
    )


def configure_notifications(
    bucket: s3.Bucket, subscriptions: Sequence[Subscription], *, event_bridge: bool = False
) -> None:
    """Set where S3 sends the events of `bucket`: to the subscriptions' queues, and all of them to EventBridge or not.

    This uses the L1 property, because `add_event_notification` and `event_bridge_enabled` each add a Lambda function
    and a custom resource. S3 checks that it may send to the queues when the bucket is created, so the bucket depends on
    their policies.
    """
    resource = bucket.node.default_child
    assert isinstance(resource, s3.CfnBucket)  # noqa: S101 - tells the type checker what CDK promises
    resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
        queue_configurations=[_queue_configuration(subscription) for subscription in subscriptions] or None,
        event_bridge_configuration=(
            s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True) if event_bridge else None
        ),
    )
    for queue in {subscription.queue.queue_arn: subscription.queue for subscription in subscriptions}.values():
        policy = queue.node.try_find_child("Policy")
        if isinstance(policy, sqs.QueuePolicy) and isinstance(policy.node.default_child, sqs.CfnQueuePolicy):
            resource.add_resource_dependency(policy.node.default_child)


def _queue_configuration(subscription: Subscription) -> s3.CfnBucket.QueueConfigurationProperty:
    filters = (("prefix", subscription.prefix), ("suffix", subscription.suffix))
    return s3.CfnBucket.QueueConfigurationProperty(
        event="s3:ObjectCreated:*",
        queue=subscription.queue.queue_arn,
        filter=s3.CfnBucket.NotificationFilterProperty(
            s3_key=s3.CfnBucket.S3KeyFilterProperty(
                rules=[
                    s3.CfnBucket.FilterRuleProperty(name=name, value=value)
                    for name, value in filters
                    if value is not None
                ]
            )
        ),
    )


def _add_rules(scope: Construct, bucket: s3.IBucket, queues: Mapping[str, sqs.IQueue]) -> None:
    """Add a rule for each prefix to the default event bus, where S3 sends the events of the bucket."""
    for prefix, queue in queues.items():
        name = prefix.rstrip("/").capitalize()
        events.CfnRule(
            scope,
            f"Dropped{name}",
            description=f"Sends events about objects created under {prefix} to their queue",
            event_pattern={
                "source": ["aws.s3"],
                "detail-type": ["Object Created"],
                "detail": {"bucket": {"name": [bucket.bucket_name]}, "object": {"key": [{"prefix": prefix}]}},
            },
            targets=[events.CfnRule.TargetProperty(id="Queue", arn=queue.queue_arn)],
        )
