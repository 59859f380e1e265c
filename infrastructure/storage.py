"""The two buckets: inputs in, results out."""

from collections.abc import Sequence
from typing import Any

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infrastructure.settings import Settings

INVOKE_PREFIX = "invoke/"
TRANSFORM_PREFIX = "transform/"
PARTS_PREFIX = "parts/"


class Storage(Construct):
    """Private, versioned, encrypted buckets that only TLS reaches; or such as are there already.

    `own_input_bucket` is the input bucket, when it is made here, `own_results_bucket` the other one.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        settings: Settings,
        *,
        input_bucket: s3.IBucket | None = None,
        results_bucket: s3.IBucket | None = None,
        key: kms.IKey | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._key = key
        self.own_input_bucket: s3.Bucket | None = None
        if input_bucket is None:
            input_bucket = self.own_input_bucket = self._bucket("InputBucket", settings)
        self.input_bucket: s3.IBucket = input_bucket
        self.own_results_bucket: s3.Bucket | None = None
        if results_bucket is None:
            results_bucket = self.own_results_bucket = self._results_bucket(settings)
        self.results_bucket: s3.IBucket = results_bucket
        if settings.access_logs:
            self._log_access([own for own in (self.own_input_bucket, self.own_results_bucket) if own], settings)

    def _results_bucket(self, settings: Settings) -> s3.Bucket:
        bucket = self._bucket("ResultsBucket", settings)
        bucket.add_lifecycle_rule(prefix=PARTS_PREFIX, expiration=Duration.days(settings.part_retention_days))
        return bucket

    def _log_access(self, buckets: Sequence[s3.Bucket], settings: Settings) -> None:
        """Have S3 log who asked what of `buckets`, into a bucket of its own.

        With the L1 property and our own statement, as CDK's would be an ACL, which the buckets refuse, unless the app
        has set a feature flag.
        """
        # S3's own key: log delivery can use no customer's key without a say in its policy (S3, "Enabling logging").
        logs = s3.Bucket(
            self,
            "AccessLogs",
            encryption=s3.BucketEncryption.S3_MANAGED,
            lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(settings.log_retention_days))],
            **_closed(settings),
        )
        for bucket in buckets:
            resource = bucket.node.default_child
            assert isinstance(resource, s3.CfnBucket)  # noqa: S101 - tells the type checker what CDK promises
            prefix = f"{bucket.node.id}/"
            resource.logging_configuration = s3.CfnBucket.LoggingConfigurationProperty(
                destination_bucket_name=logs.bucket_name, log_file_prefix=prefix
            )
            logs.add_to_resource_policy(
                iam.PolicyStatement(
                    sid=f"LogsOf{bucket.node.id}",
                    principals=[iam.ServicePrincipal("logging.s3.amazonaws.com")],
                    actions=["s3:PutObject"],
                    resources=[logs.arn_for_objects(f"{prefix}*")],
                    conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
                )
            )

    def _bucket(self, construct_id: str, settings: Settings) -> s3.Bucket:
        return s3.Bucket(
            self,
            construct_id,
            versioned=True,  # an S3 event then says which upload it means, whatever has replaced it since
            encryption=s3.BucketEncryption.KMS if self._key else s3.BucketEncryption.S3_MANAGED,
            encryption_key=self._key,
            bucket_key_enabled=True if self._key else None,  # one data key for many objects: a fraction of KMS's price
            **_closed(settings),
            lifecycle_rules=[
                s3.LifecycleRule(
                    noncurrent_version_expiration=Duration.days(settings.noncurrent_version_days),
                    abort_incomplete_multipart_upload_after=Duration.days(7),
                ),
                # A redrive that succeeds deletes the .err: its delete marker is not kept for ever.
                s3.LifecycleRule(expired_object_delete_marker=True),
            ],
        )


def _closed(settings: Settings) -> dict[str, Any]:
    """What each bucket is: private, for TLS alone, and kept as the settings say."""
    return {
        "enforce_ssl": True,
        "minimum_tls_version": 1.2,
        "block_public_access": s3.BlockPublicAccess.BLOCK_ALL,
        "object_ownership": s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        "removal_policy": RemovalPolicy.RETAIN if settings.retain_data else RemovalPolicy.DESTROY,
    }
