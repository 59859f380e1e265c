"""Every time limit of the functions, in seconds, and how the limits add up.

The ladder for one call: a container has 60 s; the read timeout of InvokeEndpoint is over that (a setting, 70 s); the
function's timeout is over connecting, reading and storing the outcome, with a window in which calls may begin; the
visibility timeout is six times the function's. `infrastructure` derives the last two from the settings. A test checks
that its figures and these agree.
"""

CONTAINER_SECONDS = 60  # a container must respond to /invocations within this (InvokeEndpoint API page)
ENDPOINT_CONNECT_SECONDS = 5

# S3, SQS and SNS: one attempt, and how many botocore makes (retry mode `standard`).
CONNECT_SECONDS = 2
READ_SECONDS = 10
ATTEMPTS = 3
_BACKOFF_SECONDS = 1 + 2  # at most, between the attempts (Boto3 guide, "Retries")

AWS_CALL_SECONDS = ATTEMPTS * (CONNECT_SECONDS + READ_SECONDS) + _BACKOFF_SECONDS
"""The longest that a call of S3, SQS or SNS can take. It usually takes tens of milliseconds."""

STORE_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""The pauses before an outcome is stored again while S3 fails. A pause needs enough time left."""

SETTLE_SECONDS = 5
"""The time that is kept for storing an outcome after a call. An S3 that hangs takes longer: then Lambda ends the
function, and the message is delivered again."""

BEGIN_SECONDS = 10
"""The time in a function's life in which calls may begin, where its timeout is the default."""

NOTIFY_SECONDS = 2 * AWS_CALL_SECONDS
"""The longest that a notification can take: one call of S3, one of SNS."""


def invocation_seconds(read_timeout_seconds: float) -> float:
    """The longest that one InvokeEndpoint call and storing its outcome take. With less time left, no call is begun."""
    return ENDPOINT_CONNECT_SECONDS + read_timeout_seconds + SETTLE_SECONDS
