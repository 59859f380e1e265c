"""The cost of inferences without the endpoint itself, by the list prices of AWS."""

from dataclasses import dataclass

from cli.quotas import HEAD_REQUESTS

# US East (N. Virginia), first tier, without the free tier; Lambda on arm64. As listed in November 2026.
PRICES_AS_OF = "November 2026, us-east-1"
_GB_SECOND = 0.0000133334
_INVOCATION = 0.20 / 1e6
_SQS_REQUEST = 0.40 / 1e6
_S3_PUT = 0.005 / 1e3
_S3_GET = 0.0004 / 1e3
_SQS_BATCH = 10  # the most messages in one ReceiveMessage or DeleteMessageBatch request


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of a million inferences in US dollars."""

    lambda_: float
    sqs: float
    s3: float

    @property
    def total(self) -> float:
        """The sum."""
        return self.lambda_ + self.sqs + self.s3


def cost_per_million(batch_seconds: float, batch: int, memory_mb: int, *, head_requests: int = HEAD_REQUESTS) -> Cost:
    """The cost when a function with `memory_mb` takes `batch_seconds` for a batch of `batch` messages.

    `head_requests` is the number of HeadObject requests per message; there is one PutObject request per message. Each
    message is sent, received and deleted once, and up to ten are received or deleted per request.
    """
    batches = 1e6 / batch
    gb_seconds = batches * batch_seconds * memory_mb / 1024
    requests_per_message = 1 / min(batch, _SQS_BATCH)
    return Cost(
        lambda_=gb_seconds * _GB_SECOND + batches * _INVOCATION,
        sqs=1e6 * (1 + 2 * requests_per_message) * _SQS_REQUEST,
        s3=1e6 * (_S3_PUT + head_requests * _S3_GET),
    )
