"""The two buckets: inputs in, results out."""

from collections.abc import Mapping

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infrastructure.settings import Settings

INVOKE_PREFIX = "invoke/"
TRANSFORM_PREFIX = "transform/"
PARTS_PREFIX = "parts/"


class Storage(Construct):
    """Private, versioned, encrypted buckets that only TLS reaches."""

    def __init__(self, scope: Construct, construct_id: str, settings: Settings) -> None:
        super().__init__(scope, construct_id)
        self.input_bucket = self._bucket("InputBucket", settings)
        self.results_bucket = self._bucket("ResultsBucket", settings)
        self.results_bucket.add_lifecycle_rule(
            prefix=PARTS_PREFIX, expiration=Duration.days(settings.part_retention_days)
        )

    def notify(self, queues: Mapping[str, sqs.Queue]) -> None:
        """Let S3 tell queues of objects created under prefixes: `queues` by prefix.

        With the L1 property, as `add_event_notification` would bring a Lambda function and a custom resource of its
        own. S3 checks at once that it may send to the queues, so their policies must stand before.
        """
        bucket = self.input_bucket.node.default_child
        assert isinstance(bucket, s3.CfnBucket)  # noqa: S101 - tells the type checker what CDK promises
        bucket.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            queue_configurations=[
                s3.CfnBucket.QueueConfigurationProperty(
                    event="s3:ObjectCreated:*",
                    queue=queue.queue_arn,
                    filter=s3.CfnBucket.NotificationFilterProperty(
                        s3_key=s3.CfnBucket.S3KeyFilterProperty(
                            rules=[s3.CfnBucket.FilterRuleProperty(name="prefix", value=prefix)]
                        )
                    ),
                )
                for prefix, queue in queues.items()
            ]
        )
        for queue in queues.values():
            policy = queue.node.find_child("Policy").node.default_child
            assert isinstance(policy, sqs.CfnQueuePolicy)  # noqa: S101 - as above
            bucket.add_resource_dependency(policy)

    def _bucket(self, construct_id: str, settings: Settings) -> s3.Bucket:
        return s3.Bucket(
            self,
            construct_id,
            versioned=True,  # an S3 event then says which upload it means, whatever has replaced it since
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            lifecycle_rules=[
                s3.LifecycleRule(
                    noncurrent_version_expiration=Duration.days(settings.noncurrent_version_days),
                    abort_incomplete_multipart_upload_after=Duration.days(7),
                ),
                # A redrive that succeeds deletes the .err: its delete marker is not kept for ever.
                s3.LifecycleRule(expired_object_delete_marker=True),
            ],
            removal_policy=RemovalPolicy.RETAIN if settings.retain_data else RemovalPolicy.DESTROY,
        )
