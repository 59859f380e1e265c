"""The quotas of AWS that a workload exceeds, or comes close to. docs/quotas.md says what happens then."""

from collections.abc import Iterator

from cli.quotas import CONCURRENT_EXECUTIONS, results_a_second, seconds_to_scale

_CLOSE = 0.8  # fraction of a quota
_SLOW_SECONDS = 60  # until all functions run
_RETENTION_DAYS = 13  # the default of retention.request_days
_DAY_SECONDS = 86_400


def exceeded(functions: int, messages_per_second: float, drain_seconds: float) -> Iterator[str]:
    """A line for each quota. `messages_per_second` is the highest rate that `functions` invoke functions can answer."""
    allowed = CONCURRENT_EXECUTIONS.value
    if functions > _CLOSE * allowed:
        yield (
            f"{functions:,} functions at once, and an account has {allowed:,} concurrent executions by default, for "
            "all its functions: request more"
        )
    if (seconds := seconds_to_scale(functions)) > _SLOW_SECONDS:
        yield f"Lambda takes {seconds / 60:.1f} minutes until {functions:,} functions run at once"
    if messages_per_second > (most := results_a_second()):
        prefixes = -(-round(messages_per_second) // most)
        yield (
            f"{messages_per_second:,.0f} results a second, and S3 looks for and stores {most:,} a second under one "
            f"prefix at first: spread the names of results over {prefixes} prefixes (S3OutputPathExtension, folders)"
        )
    if _RETENTION_DAYS * _DAY_SECONDS < drain_seconds < float("inf"):
        yield (
            f"the backlog takes {drain_seconds / _DAY_SECONDS:,.0f} days, and SQS deletes messages after "
            f"retention.request_days, {_RETENTION_DAYS} by default"
        )
