"""Prints answers, and the outcomes of several requests."""

import base64
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from cli.deployment import Deployment
from cli.errors import CliError, ExitCode
from cli.lookup.objects import is_gone
from cli.lookup.status import RequestState, RequestStatus
from cli.output import Output
from sluice.keys import OUT

_CHUNK_BYTES = 1024 * 1024
_TRIES = 5  # each means that the result was replaced or deleted within milliseconds, so there are few


def write_answer(
    deployment: Deployment,
    output: Output,
    request: str,
    status: RequestStatus,
    *,
    look_up: Callable[[], RequestStatus],
    target: Path | None = None,
) -> None:
    """Write the answer to standard output, or to the file `target`.

    `look_up` returns the status anew. It is called when the result has been replaced or deleted since `status`. Raises
    `CliError` with the reason when there is no answer, and botocore's errors.
    """
    for _ in range(_TRIES):
        if status.state is not RequestState.DONE:
            if output.as_json:
                output.document(status.document())
            raise CliError(_no_answer(request, status), status.state.exit_code or ExitCode.NOT_FOUND)
        chunks = _chunks(deployment, status)
        if chunks is not None:
            _write(output, status, chunks, target)
            return
        status = look_up()
    raise CliError(f"the result of {request} is replaced again and again", ExitCode.PENDING)


def print_outcomes(output: Output, found: Mapping[str, Sequence[RequestStatus]]) -> None:
    """Print one row per request: what identifies it, its state, and the reason for a failure."""
    output.table(
        ("Request", "State", "Reason"),
        (
            {"Request": text, **status.document(), "Reason": status.reason}
            for text, statuses in found.items()
            for status in statuses
        ),
    )


def _write(output: Output, status: RequestStatus, chunks: Iterator[bytes], target: Path | None) -> None:
    if target is not None:
        try:
            with target.open("wb") as file:
                file.writelines(chunks)
        except OSError as error:
            raise CliError(f"--output: {error}", ExitCode.USAGE) from None
        if output.as_json:
            output.document(status.document())
    elif output.as_json:
        output.document({**status.document(), **_body_fields(b"".join(chunks), status.details["ContentType"])})
    else:
        last = b""
        for last in chunks:
            sys.stdout.buffer.write(last)
        if output.is_terminal and not last.endswith(b"\n"):
            sys.stdout.buffer.write(b"\n")
        sys.stdout.buffer.flush()


def _chunks(deployment: Deployment, status: RequestStatus) -> Iterator[bytes] | None:
    """The content of the result that `status` describes; None when it is no longer there."""
    try:
        response = deployment.s3.get_object(
            Bucket=deployment.results_bucket, Key=status.name + OUT, IfMatch=f'"{status.etag}"'
        )
    except ClientError as error:
        if is_gone(error) or error.response["Error"]["Code"] in {"PreconditionFailed", "412"}:
            return None
        raise
    return response["Body"].iter_chunks(_CHUNK_BYTES)


def _no_answer(request: str, status: RequestStatus) -> str:
    """Why there is no answer, in one line."""
    reason = f": {status.reason}" if status.reason else ""
    text = {
        RequestState.FAILED: f"{request} failed{reason}",
        RequestState.EXPIRED: f"{request} expired{reason}",
        RequestState.UNKNOWN: f"nothing is known of {request}{reason}; `sluice status --help` lists what can be given",
        RequestState.GONE: f"{request} was answered, but its result has been deleted",
    }.get(status.state, f"{request} is {status.state}{reason}")
    return " ".join(text.split())


def _body_fields(body: bytes, content_type: str) -> dict[str, Any]:
    """The body as a field of a JSON document: JSON as it is, text as a string, anything else in base64."""
    try:
        text = body.decode()
        return {"Body": json.loads(text) if content_type.partition(";")[0].endswith("json") else text}
    except UnicodeDecodeError:
        return {"BodyBase64": base64.b64encode(body).decode()}
    except ValueError:
        return {"Body": text}
