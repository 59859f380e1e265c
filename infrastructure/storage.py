"""The two buckets: one for inputs, one for results."""

from collections.abc import Sequence
from typing import Any

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infrastructure.lambda_constants import PARTS_PREFIX
from infrastructure.settings import Settings


class Storage(Construct):
    """Private, versioned, encrypted buckets that can be reached over TLS only; or existing buckets.

    `own_input_bucket` and `own_results_bucket` are the buckets that are made here, None for an existing one.
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
        bucket.add_lifecycle_rule(prefix=PARTS_PREFIX, expiration=Duration.days(settings.retention.part_days))
        return bucket

    def _log_access(self, buckets: Sequence[s3.Bucket], settings: Settings) -> None:
        """Turn on S3 server access logging of `buckets`, into a bucket of its own.

        This uses the L1 property and a bucket policy statement. The L2 property would use an ACL, which the buckets
        refuse, unless the app sets a feature flag.
        """
        # Encrypted with an S3 managed key: log delivery can use a customer's key only if the key's policy says so
        # (S3 User Guide, "Enabling Amazon S3 server access logging").
        logs = s3.Bucket(
            self,
            "AccessLogs",
            encryption=s3.BucketEncryption.S3_MANAGED,
            lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(settings.retention.log_days))],
            **_common_properties(settings),
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
            versioned=True,  # so that an S3 event names the version it is about, even after a later upload
            encryption=s3.BucketEncryption.KMS if self._key else s3.BucketEncryption.S3_MANAGED,
            encryption_key=self._key,
            bucket_key_enabled=True if self._key else None,  # one data key for many objects reduces the cost of KMS
            **_common_properties(settings),
            lifecycle_rules=[
                s3.LifecycleRule(
                    noncurrent_version_expiration=Duration.days(settings.retention.noncurrent_version_days),
                    abort_incomplete_multipart_upload_after=Duration.days(7),
                ),
                # A redrive that succeeds deletes the .err. This removes the delete marker that it leaves.
                s3.LifecycleRule(expired_object_delete_marker=True),
            ],
        )


def _common_properties(settings: Settings) -> dict[str, Any]:
    """Return the properties of every bucket: private, TLS only, and retained as the settings say."""
    return {
        "enforce_ssl": True,
        "minimum_tls_version": 1.2,
        "block_public_access": s3.BlockPublicAccess.BLOCK_ALL,
        "object_ownership": s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        "removal_policy": RemovalPolicy.RETAIN if settings.retain_data else RemovalPolicy.DESTROY,
    }
