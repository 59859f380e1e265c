"""Names in the buckets, from the rules of the functions. No other module of the command line knows them."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sluice.inputs import identity as identities
from sluice.inputs.delivery import Delivery
from sluice.inputs.identity import (
    INVOKE_PREFIX,
    OTHER_BUCKETS_PREFIX,
    PARTS_PREFIX,
    TRANSFORM_PREFIX,
    file_of_part,
    key_of_version,
    name_of,
    name_of_object,
)
from sluice.inputs.requests import Request, SentMessage
from sluice.processing.result import ERR, IDENTITY, OUT
from sluice.settings import Settings
from sluice.transform.gzipped import unpacked_key
from sluice.transform.progress import _done

__all__ = ["ERR", "IDENTITY", "INVOKE_PREFIX", "OTHER_BUCKETS_PREFIX", "OUT", "TRANSFORM_PREFIX"]
__all__ += ["dataset_of_part", "default_message_name", "error_key", "key_of_version", "message_name", "object_name"]
__all__ += ["parts_folder", "stored_parts", "unpacked_key"]

MESSAGES_PREFIX = "messages/"


def default_message_name(inference_id: str) -> str:
    """The name of the result of a message with neither Filename nor S3OutputPathExtension."""
    return name_of(inference_id)


def message_name(raw: Mapping[str, Any]) -> str:
    """The name of the result of a valid message that has an InferenceId."""
    return identities.of_message(SentMessage(dict(raw)), _delivery("", {})).name


def object_name(bucket: str, key: str, input_bucket: str) -> str:
    """The name of the result of a dropped object. Raises `Failure` (invalid) when no result can have that name."""
    return name_of_object(bucket, key, input_bucket)


def error_key(request: Request, message_id: str, attributes: Mapping[str, str], settings: Settings) -> str:
    """The key of the `.err` of a request that came in an SQS message with these string attributes.

    Raises `Failure` (invalid) when the request can have no `.err`.
    """
    return identities.of(request, settings, _delivery(message_id, attributes)).error_name + ERR


def parts_folder(name: str, version: str = "") -> str:
    """The prefix of the parts of a file under `transform/`: those of one `version`, or of all versions."""
    folder = f"{PARTS_PREFIX}{name}/"
    return f"{folder}{version}/" if version else folder


def dataset_of_part(name: str) -> str | None:
    """The name of the file under `transform/` that a part belongs to; None when `name` is not that of a part."""
    return file_of_part(name)


def stored_parts(keys: Iterable[str]) -> list[tuple[int, int, str]]:
    """Start, end and key of each part whose answers are stored, in order. `keys` are those of a parts folder."""
    return _done(keys)


def _delivery(message_id: str, attributes: Mapping[str, str]) -> Delivery:
    return Delivery(
        message_id=message_id,
        receipt_handle="",
        body="",
        receive_count=1,
        sent_at=datetime.now(UTC),
        trace_header=None,
        attributes={name: {"stringValue": value} for name, value in attributes.items()},
    )
