"""The bucket and prefix of a backfill."""

from dataclasses import dataclass

from cli.errors import CliError, ExitCode
from sluice.keys import INVOKE_PREFIX, OTHER_BUCKETS_PREFIX, TRANSFORM_PREFIX
from sluice.settings import Settings


@dataclass(frozen=True, slots=True)
class Source:
    """Objects under a prefix. The name of an object's result is `name_prefix` and the object's key."""

    bucket: str
    prefix: str
    name_prefix: str = ""


def parse_uri(uri: str) -> tuple[str, str]:
    """The bucket and the prefix of an `s3://` URI. Raises `CliError` when it is not one."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise CliError(f"{uri} is not s3://bucket/prefix", ExitCode.USAGE)
    return bucket, prefix


def source_of(bucket: str, prefix: str, settings: Settings) -> Source:
    """The source with this bucket and prefix. Raises `CliError` when the deployment does not read objects there."""
    if not settings.may_read(bucket):
        readable = ", ".join((settings.input_bucket, *settings.input_location_buckets))
        raise CliError(
            f"bucket {bucket} is not one that this deployment reads: {readable}; add it to input_location_buckets and "
            "deploy",
            ExitCode.USAGE,
        )
    if bucket != settings.input_bucket:
        return Source(bucket, prefix, f"{OTHER_BUCKETS_PREFIX}{bucket}/")
    if not prefix.startswith((INVOKE_PREFIX, TRANSFORM_PREFIX)):
        raise CliError(
            f"s3://{bucket}/{prefix} must be under {INVOKE_PREFIX} or {TRANSFORM_PREFIX}, because other objects in the "
            f"input bucket are not requests: give s3://{bucket}/{INVOKE_PREFIX} or s3://{bucket}/{TRANSFORM_PREFIX}",
            ExitCode.USAGE,
        )
    return Source(bucket, prefix)
