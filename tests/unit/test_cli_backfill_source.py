"""What `sluice backfill` says of a bucket or a prefix that holds no requests."""

import pytest

from cli.backfill.source import parse_uri, source_of
from cli.errors import CliError, ExitCode
from tests.support.fakes import SETTINGS


@pytest.mark.parametrize("prefix", ["", "parts/", "/", "invoke"])
def test_a_prefix_without_requests_is_refused_with_the_prefixes_to_give(prefix: str) -> None:
    bucket = SETTINGS.input_bucket
    with pytest.raises(CliError) as refused:
        source_of(*parse_uri(f"s3://{bucket}/{prefix}"), SETTINGS)
    assert refused.value.exit_code == ExitCode.USAGE
    assert refused.value.message.startswith(f"s3://{bucket}/{prefix} must be under invoke/ or transform/")
    assert refused.value.message.endswith(f"give s3://{bucket}/invoke/ or s3://{bucket}/transform/")


def test_a_prefix_with_requests_is_accepted() -> None:
    assert source_of(SETTINGS.input_bucket, "invoke/digits", SETTINGS).prefix == "invoke/digits"
