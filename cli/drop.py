"""`sluice drop`: files into the input bucket."""

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
from cli.errors import CliError, ExitCode
from cli.options import deployed
from cli.output import Output
from cli.requests import Requests
from cli.standing import worst
from cli.uploads import Upload, check, metadata_of, planned, upload
from cli.wait import timeout_option, told
from cli.waiting import until_ended
from sluice.keys import INVOKE_PREFIX, TRANSFORM_PREFIX

_SHOWN = 20  # files that a person wants to see by name


@click.command(
    epilog="Exit code: 0 uploaded (with --wait: answered), 2 refused and nothing uploaded, 3 one failed, 5 one has no "
    "outcome in time."
)
@deployed
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
@click.option("--endpoint-name", help="The endpoint: the first folder below invoke/ or transform/.")
@click.option(
    "--metadata",
    multiple=True,
    metavar="NAME=VALUE",
    help="User metadata, for all the files: a parameter's name in kebab case (accept, trace-id, …), an option of "
    "transform/, or a name of your own.",
)
@click.option("--content-type", help="Default: by the suffix.")
@click.option("--wait", "waits", is_flag=True, help="Wait for the outcomes, and say what they are.")
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
    waits: bool,
    timeout: timedelta,
) -> None:
    """Upload files, or all the files of folders, to the input bucket.

    Keys keep the path within a folder; hidden files in it stay where they are. Everything is checked before the first
    file goes up.

    \b
    Examples:
      sluice drop digits/7.png --endpoint-name digits --wait
      sluice drop pictures/ --to invoke/digits/
      sluice drop customers.csv --to transform/wine/ --metadata accept=text/csv
    """
    described = metadata_of(metadata)
    target = folder(to, endpoint_name)
    uploads = planned(paths, target, content_type)
    check(uploads, described, deployment.settings_if_allowed, endpoint_name, deployment.input_bucket)
    with _progress(output, DownloadColumn(), TransferSpeedColumn()) as bar:
        task = bar.add_task("Uploading", total=sum(one.size for one in uploads))
        upload(deployment, uploads, described, lambda size: bar.advance(task, size))
    if waits:
        ctx.exit(_outcomes(deployment, output, uploads, timeout))
    if output.is_terminal and len(uploads) > _SHOWN:
        output.line(f"Uploaded {len(uploads):,} files under s3://{deployment.input_bucket}/{target}")
        return
    output.table(
        ("Key", "File"),
        (
            {"Key": one.key, "File": str(one.path), "Bytes": one.size, "ContentType": one.content_type}
            for one in uploads
        ),
    )


def folder(to: str, endpoint_name: str | None) -> str:
    """The key's beginning. Raises `CliError` when nothing there would be answered."""
    whole = f"{to.rstrip('/')}/"
    if not whole.startswith((INVOKE_PREFIX, TRANSFORM_PREFIX)):
        raise CliError(f"--to: {to} must begin with {INVOKE_PREFIX} or {TRANSFORM_PREFIX}", ExitCode.USAGE)
    if endpoint_name is None:
        return whole
    if whole not in {INVOKE_PREFIX, TRANSFORM_PREFIX}:
        raise CliError(
            "--endpoint-name: it is the first folder, so --to must be invoke/ or transform/ alone", ExitCode.USAGE
        )
    return f"{whole}{endpoint_name}/"


def _outcomes(deployment: Deployment, output: Output, uploads: Sequence[Upload], timeout: timedelta) -> ExitCode:
    with _progress(output, MofNCompleteColumn()) as bar:
        task = bar.add_task("Outcomes", total=len(uploads))
        found = until_ended(
            Requests(deployment),
            [one.key for one in uploads],
            timeout.total_seconds(),
            ended=lambda *_: bar.advance(task),
        )
    told(output, found)
    return worst([one for several in found.values() for one in several])


def _progress(output: Output, *columns: ProgressColumn) -> Progress:
    """A bar on standard error; nothing where that isn't a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *columns,
        console=output.progress,
        disable=not output.progress.is_terminal,
    )
