"""`sluice transform retry`: send the records of a file again that have no answer."""

from datetime import timedelta

import click

from cli.deployment import Deployment
from cli.lookup.failures import NOT_MARKED
from cli.lookup.options import timeout_option
from cli.options import deployment_options
from cli.output import Output
from cli.transform.retry import Retries


@click.command(
    short_help="Send the records of a file again that have no answer.",
    epilog="Exit code: 0 sent (with --wait: the new result is there), 2 there is nothing to retry, 3 the retry failed, "
    "4 not found, 5 the file, or an earlier retry of it, still runs, or has no outcome within --timeout.",
)
@deployment_options
@click.argument("key")
@click.option("--wait", is_flag=True, help="Wait for the new result.")
@timeout_option
@click.pass_context
def retry(
    ctx: click.Context, deployment: Deployment, output: Output, *, key: str, wait: bool, timeout: timedelta
) -> None:
    """Send the records of a finished file again that have no answer, and merge their answers into its result.

    KEY is the key of the file, or its s3:// URI. Records that have an answer are not sent. The earlier result stays
    until the new one is complete. A file that failed is retried in the same way, as by `sluice dlq redrive`.

    \b
    Examples:
      sluice transform retry transform/wine/customers.csv
      sluice transform retry transform/wine/customers.csv --wait --timeout 30m
    """
    retries = Retries(deployment)
    file = retries.find(key)
    sent = retries.send(file)
    if retries.failures.tags_are_fixed:
        output.progress.print(NOT_MARKED)
    document = {"Key": file.name, "MessageId": sent.message_id, "RecordsFailed": file.failed}
    if not wait:
        output.document(document)
        return
    ended = retries.wait(file, sent, timeout.total_seconds())
    output.document({**document, **ended.document})
    ctx.exit(ended.exit_code)
