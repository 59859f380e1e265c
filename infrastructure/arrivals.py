"""How queues are told of objects: by S3 itself, and where the input bucket is there already, by EventBridge."""

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
class Told:
    """A queue that S3 tells of objects created under a prefix, with a suffix where one is given."""

    queue: sqs.IQueue
    prefix: str
    suffix: str | None = None


def tell(scope: Construct, storage: Storage, queues: Mapping[str, sqs.IQueue]) -> None:
    """Have queues told of objects created under prefixes: `queues` by prefix."""
    ours = storage.own_input_bucket
    service = S3 if ours is not None else _EVENTBRIDGE
    for queue in queues.values():
        admit(queue, service)
    # One statement in the policy of a key, however many queues it encrypts.
    for key in {key.key_arn: key for queue in queues.values() if (key := queue.encryption_master_key)}.values():
        encryption.admit(key, service)
    if ours is not None:
        notify(ours, [Told(queue, prefix) for prefix, queue in queues.items()])
    else:
        _match(scope, storage.input_bucket, queues)


def admit(queue: sqs.IQueue, service: str) -> None:
    """By account, not by bucket: the bucket needs this policy to be there first, so it can't wait for the bucket.

    The policy of a queue that isn't of this app can't be changed from here: docs/construct.md has the statement.
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


def notify(bucket: s3.Bucket, told: Sequence[Told], *, event_bridge: bool = False) -> None:
    """Set whom S3 tells of what is created in a bucket: queues, and EventBridge, of everything.

    With the L1 property, as `add_event_notification` and `event_bridge_enabled` each bring a Lambda function and a
    custom resource of their own. S3 checks at once that it may send to the queues, so their policies must stand before.
    """
    resource = bucket.node.default_child
    assert isinstance(resource, s3.CfnBucket)  # noqa: S101 - tells the type checker what CDK promises
    resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
        queue_configurations=[
            s3.CfnBucket.QueueConfigurationProperty(
                event="s3:ObjectCreated:*",
                queue=one.queue.queue_arn,
                filter=s3.CfnBucket.NotificationFilterProperty(
                    s3_key=s3.CfnBucket.S3KeyFilterProperty(
                        rules=[
                            s3.CfnBucket.FilterRuleProperty(name=name, value=value)
                            for name, value in (("prefix", one.prefix), ("suffix", one.suffix))
                            if value is not None
                        ]
                    )
                ),
            )
            for one in told
        ]
        or None,
        event_bridge_configuration=(
            s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True) if event_bridge else None
        ),
    )
    for queue in {one.queue.queue_arn: one.queue for one in told}.values():
        policy = queue.node.try_find_child("Policy")
        if isinstance(policy, sqs.QueuePolicy) and isinstance(policy.node.default_child, sqs.CfnQueuePolicy):
            resource.add_resource_dependency(policy.node.default_child)


def _match(scope: Construct, bucket: s3.IBucket, queues: Mapping[str, sqs.IQueue]) -> None:
    """With a rule for each prefix, on the bus that S3 sends to when the bucket's EventBridge notifications are on."""
    for prefix, queue in queues.items():
        name = prefix.rstrip("/").capitalize()
        events.CfnRule(
            scope,
            f"Dropped{name}",
            description=f"Objects created under {prefix}, to their queue",
            event_pattern={
                "source": ["aws.s3"],
                "detail-type": ["Object Created"],
                "detail": {"bucket": {"name": [bucket.bucket_name]}, "object": {"key": [{"prefix": prefix}]}},
            },
            targets=[events.CfnRule.TargetProperty(id="Queue", arn=queue.queue_arn)],
        )
