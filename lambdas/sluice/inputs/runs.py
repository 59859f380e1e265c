"""The runs of a dataset: the message that began one is the run of all its parts and of its assembly."""

import hashlib

from sluice.inputs.delivery import Delivery
from sluice.inputs.requests import Assembly, Request, Run, TransformPart, TransformRetry


def run_of(delivery: Delivery, *, retries: bool = False) -> Run:
    """The run that a message begins: the same at each of its deliveries. The IDs of later runs sort after it."""
    digest = hashlib.sha256(delivery.message_id.encode()).hexdigest()[:8]
    return Run(f"{int(delivery.sent_at.timestamp() * 1000):013d}{digest}", retries)


def run_of_request(request: Request, delivery: Delivery) -> Run | None:
    """The run that a part, an assembly or a retry belongs to; None for any other request."""
    match request:
        case TransformPart() | Assembly():
            return request.run
        case TransformRetry():
            return run_of(delivery, retries=True)
        case _:
            return None
