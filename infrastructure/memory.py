"""What function.memory_mb must hold, as the functions use memory (docs/performance.md, "Memory of large files").

A function reserves memory for a request before it reads it, and requests wait for each other's memory. But a single
request that needs more than there is waits for nothing: Lambda would end the function at each of its receives.
"""

from infrastructure.lambda_constants import COPIES, MAX_CHUNK_BYTES, WITHOUT_BODIES_BYTES

_MB = 1024 * 1024
_IDLE_MB = 80  # measured: 55, and what the first calls of S3, SQS and an endpoint add
_COPIES_IN_PART = 5  # measured: a record of 25 MB is received in pieces, joined, cut, put into a body, and sent


def least_memory_mb(max_body_bytes: int) -> int:
    """Return the least memory of a function, in MB, for a part of a dataset whose last record is as large as a body.

    A call of its own needs less.
    """
    return _IDLE_MB - (-_COPIES_IN_PART * (MAX_CHUNK_BYTES + max_body_bytes) // _MB)


def bodies_at_once(memory_mb: int, max_body_bytes: int) -> int:
    """Return how many requests with the largest body a function of `memory_mb` MB reads at once, at least one."""
    return max(1, (memory_mb * _MB - WITHOUT_BODIES_BYTES) // (COPIES * max_body_bytes))
