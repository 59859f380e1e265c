"""Composes a message from the command line and validates it with the rules of the functions."""

import base64
import json
import os
import re
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, BinaryIO

import click

from cli.errors import CliError, ExitCode
from sluice import keys
from sluice.inputs.invocation import endpoint_of, location_of, oversize, type_of_name
from sluice.inputs.message import validate
from sluice.inputs.strict_json import compact, load_json
from sluice.settings import Settings

_JSON = re.compile(r"application/(?:[\w.-]+\+)?json", re.IGNORECASE)
_NUL = "\0"
# SendMessage rejects these characters. It rejects control characters, too, which JSON always escapes.
_REJECTED_BY_SQS = re.compile("[\ufffe\uffff]")


def result_name(message: Mapping[str, Any]) -> str:
    """The name of the result of a valid message that has an InferenceId."""
    folder = message.get("S3OutputPathExtension", "")
    if "Filename" in message:
        return keys.file_name(message["Filename"], folder=folder)
    return keys.message_name(message["InferenceId"], folder=folder)


def body_parameter(data: bytes, content_type: str | None) -> dict[str, Any]:
    """The parameter that carries `data`: a JSON Body, a Body that is a string, or BodyBase64.

    `data` is JSON when `content_type` says so, or when there is no content type and it is a JSON object or array.
    Raises `Failure` (invalid) when `data` should be JSON and is not.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = _NUL
    if _NUL in text:  # binary: as a JSON string, each NUL would take six bytes
        return {"BodyBase64": base64.b64encode(data).decode()}
    if content_type is not None:
        is_json = _JSON.fullmatch(content_type.partition(";")[0].strip()) is not None
        return {"Body": load_json(text, "Body") if is_json else text}
    # A row of CSV does not start with a brace or bracket.
    if text.lstrip()[:1] in {"{", "["}:
        with suppress(json.JSONDecodeError):  # JSON Lines, for example
            return {"Body": _load_strictly(text)}
    return {"Body": text}


def compose(
    message: str | None, source: BinaryIO | None, inline: str | None, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """The message from `--message`, a body from the file `source` or `inline`, and `parameters`, which take precedence.

    A message without an InferenceId gets a random one, so that the sender can find it again. Raises `CliError` and
    `Failure` (invalid).
    """
    raw = _whole_message(message) if message is not None else {}
    raw |= parameters
    if source is not None and inline is not None:
        raise CliError("FILE, --body: give only one of the two", ExitCode.USAGE)
    if source is not None:
        name = getattr(source, "name", "-")
        content_type = raw.get("ContentType") or (type_of_name(str(name)) if name != "<stdin>" else None)
        raw |= body_parameter(source.read(), content_type)
        if content_type is not None:
            raw["ContentType"] = content_type
    elif inline is not None:
        raw |= body_parameter(os.fsencode(inline), raw.get("ContentType"))
    raw.setdefault("InferenceId", str(uuid.uuid4()))
    return raw


def check_message(raw: Mapping[str, Any], settings: Settings | None) -> None:
    """Raise `Failure` (invalid) when the functions would reject the message.

    Without `settings`, only the rules that hold for every deployment are checked.
    """
    message = validate(dict(raw))
    body = None if message.input_location else message.inline_body()
    if settings is None:
        return
    endpoint_of(message, settings)
    if body is None:
        location_of(message, settings)
    elif len(body) > settings.max_body_bytes:
        raise oversize("BodyBase64" if message.body_base64 is not None else "Body", len(body), settings)


def serialize(raw: Mapping[str, Any], max_bytes: int | None) -> str:
    """The message as the body of an SQS message. Raises `CliError` when it is over `max_bytes`."""
    text = _REJECTED_BY_SQS.sub(lambda found: f"\\u{ord(found[0]):04x}", compact(raw))
    size = len(text.encode())
    if max_bytes is not None and size > max_bytes:
        raise CliError(
            f"message: {size:,} bytes are over the {max_bytes:,} that the queue takes; send it through S3 with "
            "`sluice drop FILE` or --input-location",
            ExitCode.USAGE,
        )
    return text


def _load_strictly(text: str) -> Any:
    with suppress(RecursionError):
        json.loads(text)
    return load_json(text, "Body")


def _whole_message(message: str) -> dict[str, Any]:
    if message.startswith("@"):
        try:
            with click.open_file(message[1:], encoding="utf-8") as file:
                message = file.read()
        except FileNotFoundError:
            raise CliError(f"--message: there is no file {message[1:]}", ExitCode.USAGE) from None
        except OSError as error:
            raise CliError(f"--message: {message[1:]} can't be read: {error.strerror}", ExitCode.USAGE) from None
        except UnicodeDecodeError:
            raise CliError(f"--message: {message[1:]} is not UTF-8", ExitCode.USAGE) from None
    raw = load_json(message, "--message")
    if not isinstance(raw, dict):
        raise CliError("--message: must be a JSON object whose keys are InvokeEndpoint parameters", ExitCode.USAGE)
    return raw
