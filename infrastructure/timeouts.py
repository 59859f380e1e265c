"""The ladder of timeouts, in seconds: container < read timeout < function timeout < visibility timeout."""

CONTAINER_TIMEOUT_SECONDS = 60  # SageMaker's limit for /invocations (InvokeEndpoint API page)
CALL_OVERHEAD_SECONDS = 20  # to connect before a call and to store its outcome after it, with a margin
MAX_FUNCTION_TIMEOUT_SECONDS = 900  # Lambda quotas
MAX_VISIBILITY_TIMEOUT_SECONDS = 43_200  # SQS quotas

CRASHED_TIMEOUT_SECONDS = 60  # a few S3 and SQS calls for each message of a batch
SPLIT_TIMEOUT_SECONDS = 900  # to unpack a large gzip file; other files take some seconds
ASSEMBLE_TIMEOUT_SECONDS = 900  # to read and write a large file once
NOTIFY_TIMEOUT_SECONDS = 90  # one notification with all its attempts, and a margin


def least_visibility_timeout(function_timeout_seconds: int, batching_window_seconds: int = 0) -> int:
    """Six times the function's timeout plus the batching window, in seconds.

    Source: the Lambda Developer Guide, "Configuring an Amazon SQS queue for use with Lambda".
    """
    return 6 * function_timeout_seconds + batching_window_seconds
