"""The invoke function: an SQS batch in, a partial batch response out."""

import functools
import os
from typing import TYPE_CHECKING, Any

from sluice.composition import Application, compose
from sluice.delivery import Delivery

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@functools.cache
def application() -> Application:
    """Built at the first event, not at import."""
    return compose(os.environ)


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, list[dict[str, str]]]:
    """Process an SQS event, and return what the event source mapping must not delete.

    With ReportBatchItemFailures, SQS deletes the messages of the batch that the answer doesn't name. See AWS Lambda's
    "Implementing partial batch responses".
    """
    app = application()
    app.logger.append_keys(function_request_id=context.aws_request_id)
    deliveries = [Delivery.from_record(record) for record in event["Records"]]
    acknowledged = set()
    for outcomes in app.dispatcher.run(deliveries, context.get_remaining_time_in_millis):
        for outcome in outcomes:
            app.telemetry.record(outcome)
        if all(outcome.acknowledged for outcome in outcomes):
            acknowledged.add(outcomes[0].message_id)
    app.telemetry.flush()
    return {
        "batchItemFailures": [
            {"itemIdentifier": delivery.message_id}
            for delivery in deliveries
            if delivery.message_id not in acknowledged
        ]
    }
