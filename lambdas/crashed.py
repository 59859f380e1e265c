"""The crashed function: gives a reason to what SQS itself took from the other functions' queues."""

import functools
import os
from typing import TYPE_CHECKING, Any

from sluice.batch import deliveries_of, partial_response
from sluice.composition import Application, compose

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@functools.cache
def application() -> Application:
    """Built once: in Lambda's init phase, elsewhere at the first event."""
    return compose(os.environ, takes=("call", "file", "part", "assembly"))


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, list[dict[str, str]]]:
    """Write the `.err` and send the dead-letter message of each record, and return those for which that failed."""
    app = application()
    app.logger.append_keys(function_request_id=context.aws_request_id)
    deliveries = deliveries_of(event)
    ended = [app.processor.bury(app.processor.open(delivery)) for delivery in deliveries]
    return partial_response(deliveries, ended, app.telemetry)


if "AWS_LAMBDA_RUNTIME_API" in os.environ:
    # The init phase has a whole CPU, whatever the function's memory; and SnapStart keeps what was built in it.
    application()
