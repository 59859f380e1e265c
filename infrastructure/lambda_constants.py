"""What the functions' code in lambdas/ defines and the template repeats.

The infrastructure doesn't import that code, so that synth needs none of its dependencies.
`tests/infrastructure/test_lambda_constants.py` compares each of these with its definition.
"""

# Prefixes of object keys, in the input bucket and in the results bucket.
INVOKE_PREFIX = "invoke/"
TRANSFORM_PREFIX = "transform/"
MESSAGES_PREFIX = "messages/"
FILES_PREFIX = "files/"
OTHER_BUCKETS_PREFIX = "buckets/"
PARTS_PREFIX = "parts/"
RESULT_PREFIXES = (INVOKE_PREFIX, TRANSFORM_PREFIX, MESSAGES_PREFIX, FILES_PREFIX, OTHER_BUCKETS_PREFIX)
"""The prefixes of results and failures. The parts of files are neither."""

RESULT_SUFFIX = ".out"
FAILURE_SUFFIX = ".err"

MAX_MESSAGE_BYTES = 1024 * 1024  # SQS quota: body and attributes together

# How the functions account for memory: `sluice.processing.memory`.
WITHOUT_BODIES_BYTES = 144 * 1024 * 1024
COPIES = 3  # of a body while it is received
MAX_CHUNK_BYTES = 1024 * 1024  # of the range of a part

# The metrics that the functions write.
OUTCOMES = ("Succeeded", "Retried", "DeadLettered", "FailedWithFile", "Duplicates", "Superseded", "Ignored")
FAILURE_CLASSES = ("Invalid", "Expired", "Model", "Capacity", "Configuration", "Transient", "Crashed")
FAILURES = tuple(f"{failure_class}Failures" for failure_class in FAILURE_CLASSES)
MODEL_LATENCY = "ModelLatency"
NOTIFICATIONS_FAILED = "NotificationsFailed"
