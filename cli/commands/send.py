"""`sluice send`: send a request to the request queue."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, BinaryIO

import click
from botocore.exceptions import ClientError

from cli.deployment import Deployment, is_denied
from cli.lookup.answer import write_answer
from cli.lookup.failures import NOT_MARKED, ErrorKey, Failures
from cli.lookup.options import timeout_option
from cli.lookup.polling import poll_until_final
from cli.lookup.requests import RequestLookup
from cli.lookup.status import RequestState
from cli.lookup.targets import Target, sent_message
from cli.options import deployment_options
from cli.output import Output
from cli.sending.message import check_message, compose, result_name, serialize
from cli.sqs import max_message_bytes
from sluice.inputs.message import PARAMETERS, Message
from sluice.keys import ERR, OUT

_AS_IN_INVOKE_ENDPOINT = "As in InvokeEndpoint."


def _parameter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each parameter of a message except Body, for which there are FILE and --body."""
    for parameter, field in reversed(PARAMETERS.items()):
        if parameter != "Body":
            command = click.option(
                f"--{field.replace('_', '-')}",
                parameter.lower(),
                type=int if parameter == "RequestTTLSeconds" else str,
                help=Message.model_fields[field].description or _AS_IN_INVOKE_ENDPOINT,
            )(command)
    return command


@click.command(
    epilog="Exit code: 0 sent (with --wait: answered), 2 invalid and not sent, 3 failed, 5 no outcome within --timeout."
)
@deployment_options
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--body", "inline", metavar="TEXT", help="The body itself, instead of FILE.")
@_parameter_options
@click.option("--message", metavar="JSON|@FILE", help="A whole message. Other options replace its parameters.")
@click.option("--wait", is_flag=True, help="Wait for the outcome and write the answer to standard output.")
@timeout_option
def send(
    deployment: Deployment,
    output: Output,
    *,
    file: BinaryIO | None,
    inline: str | None,
    message: str | None,
    wait: bool,
    timeout: timedelta,
    **options: Any,
) -> None:
    """Send a request to the request queue and print its inference ID.

    The body is FILE (- for standard input), --body, or the object at --input-location. A body is sent as JSON when
    --content-type or the suffix of FILE says so, or when neither is given and it is a JSON object or array. Other text
    is sent as a string, and binary data as BodyBase64. The message is validated before it is sent.

    \b
    Examples:
      sluice send examples/wine/one.json --endpoint-name wine --wait
      sluice send --body '{"instances": [[13.28, 1.64, 2.84]]}' --inference-id order-7
      cut -d, -f2- rows.csv | sluice send - --content-type text/csv
      sluice send --input-location s3://lake/7.png --endpoint-name digits
      sluice send --message @message.json --wait --json
    """
    parameters = {name: options[name.lower()] for name in PARAMETERS if options.get(name.lower()) is not None}
    raw = compose(message, file, inline, parameters)
    check_message(raw, None)  # before any request to AWS
    check_message(raw, deployment.settings_if_allowed)
    body = serialize(raw, _max_message_bytes(deployment))
    name, inference_id = result_name(raw), raw["InferenceId"]
    lookup = RequestLookup(deployment)
    query = sent_message(name, inference_id)
    earlier = lookup.check(query) if wait else None
    message_id = _send(deployment, body, query.targets[0])
    if not wait:
        trace_id = raw.get("TraceId") or inference_id
        output.document({"InferenceId": inference_id, "TraceId": trace_id, "MessageId": message_id, "Name": name})
        return
    if not output.as_json:  # standard output is for the answer
        click.echo(f"Sent {inference_id}; its result will be {name}{OUT}", err=True)
        if earlier is not None and earlier.state is RequestState.DONE:
            click.echo("It was answered before: the same InferenceId is the same request.", err=True)
    query = query.of_message(message_id)
    found = poll_until_final(lookup, [query], timeout.total_seconds())
    write_answer(deployment, output, name, found[name][0], look_up=lambda: lookup.find(query)[0])


def _send(deployment: Deployment, body: str, target: Target) -> str:
    """Send the message, and return its ID. An `.err` of the request is from then on that of an earlier attempt."""
    failures = Failures(deployment.s3, deployment.results_bucket)
    failure = failures.own(ErrorKey(f"{target.error_name}{ERR}", str(target.owner)))
    with failures.sent_again([[failure] if failure else []]):
        sent = deployment.sqs.send_message(QueueUrl=deployment.request_queue_url, MessageBody=body)
    if failures.tags_are_fixed:
        click.echo(NOT_MARKED, err=True)
    return sent["MessageId"]


def _max_message_bytes(deployment: Deployment) -> int | None:
    """The largest message that the queue takes; None when the credentials do not permit reading it."""
    try:
        return max_message_bytes(deployment.sqs, deployment.request_queue_url)
    except ClientError as error:
        if is_denied(error):
            return None
        raise
