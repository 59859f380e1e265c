"""From what a sender gives on the command line to a message, validated as the functions will."""

import base64
import json
import os
import re
import uuid
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import click

from cli.errors import CliError, ExitCode
from sluice.inputs.delivery import Delivery
from sluice.inputs.identity import Identity, of_message
from sluice.inputs.invocation import endpoint_of, location_of, oversize, type_of_name
from sluice.inputs.message import compact, load_json, validate
from sluice.inputs.requests import SentMessage
from sluice.settings import Settings

_JSON = re.compile(r"application/(?:[\w.-]+\+)?json", re.IGNORECASE)
_BINARY = "\0"
_REFUSED_BY_SQS = re.compile("[\ufffe\uffff]")  # SendMessage; JSON escapes the control characters anyway


def body_of(data: bytes, content_type: str | None) -> dict[str, Any]:
    """`data` as the parameter that carries it: JSON as a JSON Body, other text as a string, the rest as BodyBase64.

    It is JSON where `content_type` says so; where there is none, when it is a JSON object or array. Raises `Failure`
    (invalid) when it should be JSON and isn't.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = _BINARY
    if _BINARY in text:  # it could be a string, at six bytes of JSON for each
        return {"BodyBase64": base64.b64encode(data).decode()}
    if content_type is not None:
        is_json = _JSON.fullmatch(content_type.partition(";")[0].strip()) is not None
        return {"Body": load_json(text, "Body") if is_json else text}
    # No row of CSV begins like this, and nobody who writes {"instances": …} means CSV.
    if text.lstrip()[:1] in {"{", "["}:
        with suppress(json.JSONDecodeError):  # it is lines of JSON, or something of its own
            return {"Body": _strictly(text)}
    return {"Body": text}


def _strictly(text: str) -> Any:
    with suppress(RecursionError):
        json.loads(text)
    return load_json(text, "Body")


def compose(
    message: str | None, source: BinaryIO | None, inline: str | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    """The message: a whole one, if there is, with a body and the parameters `given` put over it.

    It always has an InferenceId, which is how its sender finds it again. Raises `CliError` and `Failure` (invalid).
    """
    raw = _whole(message) if message is not None else {}
    raw |= given
    if source is not None and inline is not None:
        raise CliError("FILE, --body: give one of the two", ExitCode.USAGE)
    if source is not None:
        name = getattr(source, "name", "-")
        said = raw.get("ContentType") or (type_of_name(str(name)) if name != "<stdin>" else None)
        raw |= body_of(source.read(), said)
        if said is not None:
            raw["ContentType"] = said
    elif inline is not None:
        raw |= body_of(os.fsencode(inline), raw.get("ContentType"))
    raw.setdefault("InferenceId", str(uuid.uuid4()))
    return raw


def check(raw: Mapping[str, Any], settings: Settings | None) -> None:
    """Raise `Failure` (invalid) where the functions would; by `settings`, too, where they are known."""
    message = validate(dict(raw))
    body = None if message.input_location else message.inline_body()
    if settings is None:
        return
    endpoint_of(message, settings)
    if body is None:
        location_of(message, settings)
    elif len(body) > settings.max_body_bytes:
        raise oversize("BodyBase64" if message.body_base64 is not None else "Body", len(body), settings)


def text_of(raw: Mapping[str, Any], most: int | None) -> str:
    """The message as SQS takes it. Raises `CliError` when it is over the `most` bytes that the queue takes."""
    text = _REFUSED_BY_SQS.sub(lambda found: f"\\u{ord(found[0]):04x}", compact(raw))
    size = len(text.encode())
    if most is not None and size > most:
        raise CliError(
            f"message: {size:,} bytes are over the {most:,} that the queue takes; send it through S3: "
            "`sluice drop FILE`, or --input-location",
            ExitCode.USAGE,
        )
    return text


def identity_of(raw: dict[str, Any], text: str) -> Identity:
    """Who the request will be, once it is delivered."""
    delivery = Delivery(
        message_id="",
        receipt_handle="",
        body=text,
        receive_count=1,
        sent_at=datetime.now(UTC),
        trace_header=None,
        attributes={},
    )
    return of_message(SentMessage(raw), delivery)


def _whole(message: str) -> dict[str, Any]:
    if message.startswith("@"):
        try:
            with click.open_file(message[1:], encoding="utf-8") as file:
                message = file.read()
        except (OSError, UnicodeDecodeError) as error:
            raise CliError(f"--message: {Path(message[1:])}: {error}", ExitCode.USAGE) from None
    raw = load_json(message, "--message")
    if not isinstance(raw, dict):
        raise CliError("--message: must be a JSON object whose keys are InvokeEndpoint parameters", ExitCode.USAGE)
    return raw
