"""The quotas of AWS that a deployment runs into first. docs/quotas.md has the same numbers, with what happens then."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quota:
    """A quota: its default, what it is of, whether AWS raises it on request, and the page of AWS that states it."""

    value: int
    of: str
    source: str
    is_adjustable: bool = False


CONCURRENT_EXECUTIONS = Quota(
    1000,
    "concurrent executions of all functions in a Region",
    'Lambda Developer Guide, "Lambda quotas"',
    is_adjustable=True,
)
POLLERS_A_MINUTE = Quota(
    300,
    "concurrent invocations that an event source mapping adds in a minute, after the first 5",
    'Lambda Developer Guide, "Configuring scaling behavior for SQS event source mappings"',
)
ENVIRONMENT_BYTES = Quota(
    4096, "bytes of a function's environment variables", 'Lambda Developer Guide, "Lambda quotas"'
)
IN_FLIGHT = Quota(
    120_000,
    "messages of a standard queue that are in flight",
    'SQS Developer Guide, "Amazon SQS standard queue quotas"',
    is_adjustable=True,
)
QUEUE_POLICY_BYTES = Quota(8192, "bytes of a queue's policy", 'SQS Developer Guide, "Amazon SQS policy quotas"')
ROLE_POLICY_CHARACTERS = Quota(
    10_240,
    "characters of all inline policies of a role, without white space",
    'IAM User Guide, "IAM and AWS STS quotas"',
)
PUTS_A_SECOND = Quota(
    3500,
    "PUT, COPY, POST and DELETE requests a second for a prefix",
    'S3 User Guide, "Best practices design patterns: optimizing Amazon S3 performance"',
)
GETS_A_SECOND = Quota(
    5500,
    "GET and HEAD requests a second for a prefix",
    'S3 User Guide, "Best practices design patterns: optimizing Amazon S3 performance"',
)
UPLOAD_PARTS = Quota(10_000, "parts of a multipart upload", 'S3 User Guide, "Amazon S3 multipart upload limits"')
PUBLISHES_A_SECOND = Quota(
    300,
    "Publish requests a second in the smallest Regions, 30,000 in us-east-1",
    'AWS General Reference, "Amazon SNS endpoints and quotas"',
    is_adjustable=True,
)
SERVERLESS_CONCURRENCY = Quota(
    200,
    "MaxConcurrency of a serverless endpoint",
    "SageMaker API Reference, ProductionVariantServerlessConfig",
)
KMS_A_SECOND = Quota(
    10_000,
    "symmetric cryptographic operations a second; 20,000 or 100,000 in large Regions",
    'KMS Developer Guide, "Request quotas"',
    is_adjustable=True,
)

FIRST_POLLERS = 5  # the same page as POLLERS_A_MINUTE
HEAD_REQUESTS = 2
"""HeadObject requests of a message that is answered at its first receive: for a result before the call, for an `.err`
after it. Both are for names under one prefix."""

ALL = (
    CONCURRENT_EXECUTIONS,
    POLLERS_A_MINUTE,
    ENVIRONMENT_BYTES,
    IN_FLIGHT,
    QUEUE_POLICY_BYTES,
    ROLE_POLICY_CHARACTERS,
    PUTS_A_SECOND,
    GETS_A_SECOND,
    UPLOAD_PARTS,
    PUBLISHES_A_SECOND,
    SERVERLESS_CONCURRENCY,
    KMS_A_SECOND,
)
"""The quotas, in the order of docs/quotas.md."""


def results_a_second() -> int:
    """How many results a second S3 stores under one prefix at first, with the requests that look for others."""
    return min(PUTS_A_SECOND.value, GETS_A_SECOND.value // HEAD_REQUESTS)


def seconds_to_scale(functions: int) -> float:
    """How long an event source mapping takes until `functions` run at once, in seconds."""
    return max(0, functions - FIRST_POLLERS) / POLLERS_A_MINUTE.value * 60


def retries_that_fill_a_queue(cap_seconds: float) -> float:
    """The retried deliveries a second at which as many messages wait for their retry as may be in flight.

    A message that waits for its retry is in flight: its visibility timeout was changed. The wait is drawn between 0 and
    `cap_seconds`, and so is half of that on average.
    """
    return IN_FLIGHT.value / (cap_seconds / 2)
