"""What a backfill is of, and under which names its results are."""

from dataclasses import dataclass

from cli.errors import CliError, ExitCode
from sluice.keys import INVOKE_PREFIX, OTHER_BUCKETS_PREFIX, TRANSFORM_PREFIX
from sluice.settings import Settings


@dataclass(frozen=True, slots=True)
class Place:
    """Objects under a prefix. The result of `key` is named `name_prefix` + `key`."""

    bucket: str
    prefix: str
    name_prefix: str = ""


def place_of(uri: str, settings: Settings) -> Place:
    """The place that `uri` names. Raises `CliError` when the deployment takes nothing from there."""
    bucket, slash, prefix = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise CliError(f"{uri} is not s3://bucket/prefix", ExitCode.USAGE)
    if not settings.may_read(bucket):
        listed = ", ".join((settings.input_bucket, *settings.input_location_buckets))
        raise CliError(
            f"bucket {bucket} is not one this deployment reads: {listed}; add it to input_location_buckets, and deploy",
            ExitCode.USAGE,
        )
    if bucket != settings.input_bucket:
        return Place(bucket, prefix, f"{OTHER_BUCKETS_PREFIX}{bucket}/")
    if not prefix.startswith((INVOKE_PREFIX, TRANSFORM_PREFIX)):
        raise CliError(
            f"prefix {prefix or slash!r} must be under {INVOKE_PREFIX} or {TRANSFORM_PREFIX}: what else is in the "
            "input bucket is no request",
            ExitCode.USAGE,
        )
    return Place(bucket, prefix)
