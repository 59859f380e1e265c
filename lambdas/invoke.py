"""The invoke function: requests and parts of files, an SQS batch in, a partial batch response out."""

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
    # Files come here when an EventBridge rule sends the whole bucket's events to the request queue.
    return compose(os.environ, takes=("call", "file", "part"))


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, list[dict[str, str]]]:
    """Bring each record to its outcome, and return those that SQS is to deliver again."""
    app = application()
    app.logger.append_keys(function_request_id=context.aws_request_id)
    deliveries = deliveries_of(event)
    ended = app.dispatcher.run(deliveries, context.get_remaining_time_in_millis)
    return partial_response(deliveries, ended, app.telemetry)


if "AWS_LAMBDA_RUNTIME_API" in os.environ:
    # The init phase has a whole CPU, whatever the function's memory; and SnapStart keeps what was built in it.
    application()
