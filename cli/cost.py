"""What inferences cost beside the endpoint itself: AWS's list prices, by what is asked of it."""

from dataclasses import dataclass

# US East (N. Virginia), first tier, without the free tier; Lambda on arm64. As listed in November 2026.
PRICES_AS_OF = "November 2026, us-east-1"
_GB_SECOND = 0.0000133334
_INVOCATION = 0.20 / 1e6
_SQS_REQUEST = 0.40 / 1e6
_S3_PUT = 0.005 / 1e3
_S3_GET = 0.0004 / 1e3
_SQS_BATCH = 10  # messages that one ReceiveMessage or DeleteMessageBatch request holds at most


@dataclass(frozen=True, slots=True)
class Cost:
    """US dollars for a million inferences."""

    lambda_: float
    sqs: float
    s3: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.lambda_ + self.sqs + self.s3


def cost_per_million(batch_seconds: float, batch: int, memory_mb: int, *, looks: int = 1) -> Cost:
    """The cost where a function of `memory_mb` takes `batch_seconds` for `batch` messages.

    `looks` is the number of HeadObject requests for each message; PutObject is one. Each message is sent, received and
    deleted once; receives and deletes are of up to ten.
    """
    batches = 1e6 / batch
    gb_seconds = batches * batch_seconds * memory_mb / 1024
    carried = 1 / min(batch, _SQS_BATCH)
    return Cost(
        lambda_=gb_seconds * _GB_SECOND + batches * _INVOCATION,
        sqs=1e6 * (1 + 2 * carried) * _SQS_REQUEST,
        s3=1e6 * (_S3_PUT + looks * _S3_GET),
    )
