"""`sluice drop`: upload files to the input bucket."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import click
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TransferSpeedColumn,
)

from cli.deployment import Deployment
from cli.errors import ExitCode
from cli.lookup.answer import print_outcomes
from cli.lookup.options import timeout_option
from cli.lookup.polling import poll_until_final
from cli.lookup.requests import RequestLookup
from cli.lookup.status import combined_exit_code
from cli.lookup.targets import named
from cli.options import deployment_options
from cli.output import Output
from cli.sending.uploads import PlannedUpload, check_uploads, key_prefix, parse_metadata, plan_uploads, upload_files
from sluice.keys import INVOKE_PREFIX

_MAX_LISTED = 20  # files that a terminal lists by name


@click.command(
    epilog="Exit code: 0 uploaded (with --wait: all answered), 2 invalid and nothing uploaded, 3 a request failed, 5 a "
    "request has no outcome within --timeout."
)
@deployment_options
@click.argument(
    "paths", nargs=-1, required=True, metavar="FILE_OR_FOLDER...", type=click.Path(exists=True, path_type=Path)
)
@click.option(
    "--to",
    default=INVOKE_PREFIX,
    show_default=True,
    metavar="FOLDER",
    help="invoke/… (each file is the body of one call) or transform/… (each line is a record).",
)
@click.option("--endpoint-name", help="The endpoint. It becomes the first folder below invoke/ or transform/.")
@click.option(
    "--metadata",
    multiple=True,
    metavar="NAME=VALUE",
    help="User-defined metadata for all files: a parameter's name in kebab case (accept, trace-id, …), an option of "
    "transform/, or any other name.",
)
@click.option("--content-type", help="Content type of all files.  [default: from the suffix]")
@click.option("--wait", is_flag=True, help="Wait for the outcomes and print them.")
@timeout_option
@click.pass_context
def drop(
    ctx: click.Context,
    deployment: Deployment,
    output: Output,
    *,
    paths: tuple[Path, ...],
    to: str,
    endpoint_name: str | None,
    metadata: tuple[str, ...],
    content_type: str | None,
    wait: bool,
    timeout: timedelta,
) -> None:
    """Upload files, or all files in folders, to the input bucket.

    Keys keep the path within a folder. Hidden files in a folder are not uploaded. Everything is checked before the
    first upload.

    \b
    Examples:
      sluice drop digits/7.png --endpoint-name digits --wait
      sluice drop pictures/ --to invoke/digits/
      sluice drop customers.csv --to transform/wine/ --metadata accept=text/csv
    """
    parsed_metadata = parse_metadata(metadata)
    prefix = key_prefix(to, endpoint_name)
    uploads = plan_uploads(paths, prefix, content_type)
    check_uploads(uploads, parsed_metadata, deployment.settings_if_allowed, endpoint_name, deployment.input_bucket)
    with _progress_bar(output, DownloadColumn(), TransferSpeedColumn()) as bar:
        task = bar.add_task("Uploading", total=sum(upload.size for upload in uploads))
        upload_files(deployment, uploads, parsed_metadata, lambda size: bar.advance(task, size))
    if wait:
        ctx.exit(_wait_for_outcomes(deployment, output, uploads, timeout))
    if output.is_terminal and len(uploads) > _MAX_LISTED:
        output.line(f"Uploaded {len(uploads):,} files to s3://{deployment.input_bucket}/{prefix}")
        return
    output.table(
        ("Key", "File"),
        (
            {"Key": upload.key, "File": str(upload.path), "Bytes": upload.size, "ContentType": upload.content_type}
            for upload in uploads
        ),
    )


def _wait_for_outcomes(
    deployment: Deployment, output: Output, uploads: Sequence[PlannedUpload], timeout: timedelta
) -> ExitCode:
    with _progress_bar(output, MofNCompleteColumn()) as bar:
        task = bar.add_task("Outcomes", total=len(uploads))
        found = poll_until_final(
            RequestLookup(deployment),
            [named(upload.key) for upload in uploads],
            timeout.total_seconds(),
            on_final=lambda *_: bar.advance(task),
        )
    print_outcomes(output, found)
    return combined_exit_code([status for statuses in found.values() for status in statuses])


def _progress_bar(output: Output, *columns: ProgressColumn) -> Progress:
    """A progress bar on standard error; nothing when that is not a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *columns,
        console=output.progress,
        disable=not output.progress.is_terminal,
    )
