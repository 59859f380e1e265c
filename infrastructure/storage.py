"""The two buckets: inputs in, results out."""

from aws_cdk import Duration, RemovalPolicy
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

    def _results_bucket(self, settings: Settings) -> s3.Bucket:
        bucket = self._bucket("ResultsBucket", settings)
        bucket.add_lifecycle_rule(prefix=PARTS_PREFIX, expiration=Duration.days(settings.part_retention_days))
        return bucket

    def _bucket(self, construct_id: str, settings: Settings) -> s3.Bucket:
        return s3.Bucket(
            self,
            construct_id,
            versioned=True,  # an S3 event then says which upload it means, whatever has replaced it since
            encryption=s3.BucketEncryption.KMS if self._key else s3.BucketEncryption.S3_MANAGED,
            encryption_key=self._key,
            bucket_key_enabled=True if self._key else None,  # one data key for many objects: a fraction of KMS's price
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
