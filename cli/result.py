"""`sluice result`: the answer, or the reason why there is none."""

import base64
import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from cli.deployment import Deployment
from cli.errors import CliError, ExitCode
from cli.options import deployed
from cli.output import Output
from cli.requests import Requests
from cli.standing import Standing, State
from cli.status import since_option
from sluice.keys import OUT

_PIECE = 1024 * 1024


@click.command(
    short_help="Write the answer to a request, or why there is none.",
    epilog="Exit code: 0 with the answer, 3 failed, 4 nothing known, 5 pending or retrying.",
)
@deployed
@click.argument("request")
@click.option(
    "--output", "-o", "target", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file."
)
@since_option
def result(deployment: Deployment, output: Output, request: str, target: Path | None, since: timedelta) -> None:
    """Write the answer to a request to standard output, byte for byte as the model gave it.

    REQUEST is what `sluice status` takes. With --json, the answer is `Body` in one document with what is known of it. A
    failure's reason goes to standard error.

    \b
    Examples:
      sluice result order-7 | jq .predictions
      sluice result invoke/digits/7.png --output seven.json
    """
    standings = Requests(deployment, since).find(request)
    if len(standings) > 1:
        names = ", ".join(standing.name for standing in standings)
        raise CliError(f"{request} is the trace ID of several requests; name one: {names}", ExitCode.USAGE)
    show(deployment, output, request, standings[0], target)


def show(deployment: Deployment, output: Output, request: str, standing: Standing, target: Path | None = None) -> None:
    """Write the answer to standard output, or to `target`. Raises `CliError` when there is none, saying why."""
    if standing.state is not State.DONE:
        if output.as_json:
            output.document(standing.document())
        raise CliError(_none(request, standing), standing.state.exit_code or ExitCode.NOT_FOUND)
    if target is not None:
        try:
            with target.open("wb") as file:
                file.writelines(_pieces(deployment, standing))
        except OSError as error:
            raise CliError(f"--output: {error}") from None
        if output.as_json:
            output.document(standing.document())
    elif output.as_json:
        body = b"".join(_pieces(deployment, standing))
        output.document({**standing.document(), **_as_json(body, standing.facts["ContentType"])})
    else:
        last = b""
        for last in _pieces(deployment, standing):
            sys.stdout.buffer.write(last)
        if output.is_terminal and not last.endswith(b"\n"):
            sys.stdout.buffer.write(b"\n")
        sys.stdout.buffer.flush()


def _pieces(deployment: Deployment, standing: Standing) -> Iterator[bytes]:
    got = deployment.s3.get_object(Bucket=deployment.results_bucket, Key=standing.name + OUT)
    yield from got["Body"].iter_chunks(_PIECE)


def _none(request: str, standing: Standing) -> str:
    """Why there is no answer, in one line."""
    reason = f": {standing.reason}" if standing.reason else ""
    said = {
        State.FAILED: f"{request} failed{reason}",
        State.EXPIRED: f"{request} expired{reason}",
        State.UNKNOWN: f"nothing is known of {request}{reason}; see `sluice status --help` for what may be named",
        State.GONE: f"{request} was answered, but its result has been deleted",
    }
    return " ".join(said.get(standing.state, f"{request} is {standing.state}{reason}").split())


def _as_json(body: bytes, content_type: str) -> dict[str, Any]:
    try:
        text = body.decode()
        return {"Body": json.loads(text) if content_type.partition(";")[0].endswith("json") else text}
    except UnicodeDecodeError:
        return {"BodyBase64": base64.b64encode(body).decode()}
    except ValueError:
        return {"Body": text}
