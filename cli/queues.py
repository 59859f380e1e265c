"""How many messages a queue holds."""

from dataclasses import dataclass

from cli.deployment import Deployment


@dataclass(frozen=True, slots=True)
class Depth:
    """SQS's approximate counts."""

    visible: int
    in_flight: int
    delayed: int

    @property
    def all(self) -> int:
        """All the messages of the queue."""
        return self.visible + self.in_flight + self.delayed


def depth(deployment: Deployment, queue_url: str) -> Depth:
    """GetQueueAttributes of a queue."""
    got = deployment.sqs.get_queue_attributes(
        QueueUrl=queue_url,
        AttributeNames=[
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ],
    ).get("Attributes", {})
    return Depth(
        int(got.get("ApproximateNumberOfMessages", 0)),
        int(got.get("ApproximateNumberOfMessagesNotVisible", 0)),
        int(got.get("ApproximateNumberOfMessagesDelayed", 0)),
    )
