"""`sluice send`: a request to the request queue."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, BinaryIO

import click
from botocore.exceptions import ClientError

from cli.compose import check, compose, identity_of, text_of
from cli.deployment import Deployment, is_denied
from cli.options import deployed
from cli.output import Output
from cli.requests import Requests
from cli.result import show
from cli.standing import State
from cli.wait import timeout_option
from cli.waiting import until_ended
from sluice.inputs.message import PARAMETERS, Message

_AS_IN_INVOKE_ENDPOINT = "As in InvokeEndpoint."


def _parameters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command an option for every parameter of a message, but for Body, which has forms of its own."""
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
    epilog="Exit code: 0 sent (with --wait: answered), 2 refused and not sent, 3 failed, 5 no outcome in time."
)
@deployed
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--body", "inline", metavar="TEXT", help="The body itself, instead of FILE.")
@_parameters
@click.option("--message", metavar="JSON|@FILE", help="A whole message; what else is given is put over it.")
@click.option("--wait", "waits", is_flag=True, help="Wait for the outcome, and write the answer to standard output.")
@timeout_option
def send(
    deployment: Deployment,
    output: Output,
    *,
    file: BinaryIO | None,
    inline: str | None,
    message: str | None,
    waits: bool,
    timeout: timedelta,
    **given: Any,
) -> None:
    """Send a request to the request queue, and print its inference ID.

    The body is FILE (- is standard input), --body, or what --input-location names. JSON becomes a JSON Body: by
    --content-type, by the file's suffix, or where neither is there, when it is an object or an array. Other text goes
    as it stands, anything else as BodyBase64. The message is checked before it is sent.

    \b
    Examples:
      sluice send examples/wine/one.json --endpoint-name wine --wait
      sluice send --body '{"instances": [[13.28, 1.64, 2.84]]}' --inference-id order-7
      cut -d, -f2- rows.csv | sluice send - --content-type text/csv
      sluice send --input-location s3://lake/7.png --endpoint-name digits
      sluice send --message @message.json --wait --json
    """
    named = {name: given[name.lower()] for name in PARAMETERS if given.get(name.lower()) is not None}
    raw = compose(message, file, inline, named)
    check(raw, deployment.settings_if_allowed)
    text = text_of(raw, _most(deployment))
    identity = identity_of(raw, text)
    requests = Requests(deployment)
    earlier = requests.stored(identity.name) if waits else None
    sent = deployment.sqs.send_message(QueueUrl=deployment.request_queue_url, MessageBody=text)
    facts = {
        "InferenceId": identity.inference_id,
        "TraceId": identity.trace_id,
        "MessageId": sent["MessageId"],
        "Name": identity.name,
    }
    if not waits:
        output.document(facts)
        return
    if not output.as_json:  # standard output is the answer's
        click.echo(f"Sent {identity.inference_id}; its result will be {identity.name}.out", err=True)
        if earlier and earlier.state is State.DONE:
            click.echo("It was answered before: the same InferenceId is the same request.", err=True)
    before = {identity.name: earlier} if earlier and earlier.state is not State.DONE else {}
    (standing,) = until_ended(requests, [identity.name], timeout.total_seconds(), before=before)[identity.name]
    show(deployment, output, identity.name, standing)


def _most(deployment: Deployment) -> int | None:
    """The largest message that the queue takes; None where it may not be asked, as SQS itself will say."""
    try:
        got = deployment.sqs.get_queue_attributes(
            QueueUrl=deployment.request_queue_url, AttributeNames=["MaximumMessageSize"]
        )
    except ClientError as error:
        if is_denied(error):
            return None
        raise
    return int(got["Attributes"]["MaximumMessageSize"])
