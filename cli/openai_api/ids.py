"""IDs of files and batches, and the names of what is stored of them.

An ID begins with its time, counted down, so that a listing of a bucket has the newest first, as OpenAI's lists do.
"""

import re
import secrets
import time

from sluice.keys import TRANSFORM_PREFIX

FILES_PREFIX = "openai/files/"  # in the input bucket, apart from what is processed when it is dropped
BATCHES_PREFIX = "openai/batches/"
INPUTS_PREFIX = f"{TRANSFORM_PREFIX}openai-batches/"
_LATEST_MS = 16**11 - 1
_DIGITS = "[0-9a-f]{24}"
_FILE = re.compile(f"file-({_DIGITS})")
_RESULT = re.compile(f"file-({_DIGITS})-(output|errors)")
_BATCH = re.compile(f"batch_({_DIGITS})")


def new_token() -> str:
    """The part of an ID that is unique: 24 hexadecimal digits."""
    return f"{_LATEST_MS - time.time_ns() // 1_000_000:011x}{secrets.token_hex(7)[:13]}"


def file_id(token: str) -> str:
    """The ID of an uploaded file."""
    return f"file-{token}"


def batch_id(token: str) -> str:
    """The ID of a batch."""
    return f"batch_{token}"


def result_id(token: str, kind: str) -> str:
    """The ID of a batch's output file, or with the kind `errors`, of its error file."""
    return f"file-{token}-{kind}"


def token_of_file(identifier: str) -> str | None:
    """The token of an uploaded file; None when this is no ID of one."""
    found = _FILE.fullmatch(identifier)
    return found[1] if found else None


def token_of_batch(identifier: str) -> str | None:
    """The token of a batch; None when this is no ID of one."""
    found = _BATCH.fullmatch(identifier)
    return found[1] if found else None


def result_of(identifier: str) -> tuple[str, str] | None:
    """The token of the batch and the kind of a result file; None when this is no ID of one."""
    found = _RESULT.fullmatch(identifier)
    return (found[1], found[2]) if found else None


def input_key(token: str) -> str:
    """The key of a batch's requests under `transform/`, which is also the name of its result."""
    return f"{INPUTS_PREFIX}{token}.jsonl"


def record_key(token: str) -> str:
    """The key of what the client said of a batch."""
    return f"{BATCHES_PREFIX}{token}.json"
