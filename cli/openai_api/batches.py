"""`/v1/batches`: a batch is a copy of its requests under `transform/`, and what the client said of it."""

import itertools
import json
import re
import time
from collections.abc import Mapping
from typing import Any

from cli.openai_api import ids
from cli.openai_api.errors import ApiError, invalid, not_found
from cli.openai_api.files import Files
from cli.openai_api.status import Statuses
from cli.openai_api.store import Store

_FIELDS = {"input_file_id", "endpoint", "completion_window", "metadata"}
_ENDPOINT = re.compile(r"/[!-~]{1,200}")
_FIRST = 1024 * 1024  # bytes of a file in which the model of its first request is looked for
_PAIRS, _NAME, _VALUE = 16, 64, 512  # of a batch's metadata
_TIMES = ("in_progress_at", "finalizing_at", "completed_at", "failed_at", "expired_at", "cancelling_at", "cancelled_at")


class Batches:
    """The batches.

    They call the SageMaker endpoint `endpoint_name`. If that is None, they call the one of `endpoint_names` that the
    first request names as its model, or else the deployment's default.
    """

    def __init__(
        self,
        inputs: Store,
        files: Files,
        statuses: Statuses,
        *,
        endpoint_name: str | None = None,
        endpoint_names: tuple[str, ...] = (),
        default_endpoint_name: str | None = None,
    ) -> None:
        self._inputs = inputs
        self._files = files
        self._statuses = statuses
        self._endpoint_name = endpoint_name
        self._endpoint_names = endpoint_names
        self._default_endpoint_name = default_endpoint_name

    def create(self, given: object) -> dict[str, Any]:
        """Begin a batch. Raises `ApiError`."""
        record = _checked(given)
        stored = self._files.uploaded(record["input_file_id"])
        if not stored.size:
            raise invalid("input_file_id", "the file is empty", code="empty_file")
        token = ids.new_token()
        record |= {
            "created_at": int(time.time()),
            "model": _model(self._inputs.read(stored.key, first=_FIRST) or b""),
            "bytes": stored.size,
        }
        # First, so that no batch is processed of which nothing is known.
        self._inputs.put(ids.record_key(token), json.dumps(record).encode())
        metadata = {"record-format": "OpenAIBatch", "request-url": record["endpoint"]}
        if endpoint_name := self._endpoint_of(record["model"]):
            metadata["endpoint-name"] = endpoint_name
        self._inputs.copy(stored.key, ids.input_key(token), content_type="application/jsonlines", metadata=metadata)
        return _document(token, record, {"status": "validating"})

    def get(self, identifier: str) -> dict[str, Any]:
        """A batch. Raises `ApiError`."""
        token = ids.token_of_batch(identifier)
        found = self._load(token) if token else None
        if found is None:
            raise not_found("Batch", identifier)
        return found

    def list(self, after: str | None, limit: int) -> tuple[list[dict[str, Any]], bool]:
        """At most `limit` batches, the newest first, and whether there are more. Raises `ApiError`."""
        start_after = ""
        if after is not None:
            token = ids.token_of_batch(after)
            if token is None:
                raise invalid("after", "must be the ID of a batch")
            start_after = ids.record_key(token)
        listed = list(
            itertools.islice(self._inputs.list(ids.BATCHES_PREFIX, start_after=start_after, limit=limit + 1), limit + 1)
        )
        tokens = [one.key.removeprefix(ids.BATCHES_PREFIX).removesuffix(".json") for one in listed[:limit]]
        found = [self._load(token) for token in tokens]
        return [one for one in found if one is not None], len(listed) > limit

    def cancel(self, identifier: str) -> dict[str, Any]:
        """Raise `ApiError`: calls that were sent cannot be recalled, and their answers would be lost."""
        self.get(identifier)
        raise ApiError(
            400,
            "this server cannot cancel a batch: its parts are on the deployment's queue; wait until it has ended",
            param="batch_id",
            code="unsupported",
        )

    def _load(self, token: str) -> dict[str, Any] | None:
        stored = self._inputs.read(ids.record_key(token))
        if stored is None:
            return None
        record = json.loads(stored)
        return _document(token, record, self._statuses.of(token, record["bytes"]))

    def _endpoint_of(self, model: str | None) -> str | None:
        if self._endpoint_name is not None:
            return self._endpoint_name
        return model if model in self._endpoint_names else self._default_endpoint_name


def _checked(given: object) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise ApiError(400, "the body must be a JSON object")
    for name in given.keys() - _FIELDS:
        raise ApiError(400, f"{name}: is not supported here", param=name, code="unsupported")
    if not isinstance(given.get("input_file_id"), str):
        raise invalid("input_file_id", "must be the ID of an uploaded file")
    endpoint = given.get("endpoint")
    if not isinstance(endpoint, str) or not _ENDPOINT.fullmatch(endpoint):
        raise invalid("endpoint", "must be the url of the requests, such as /v1/chat/completions")
    if given.get("completion_window") != "24h":
        raise invalid("completion_window", "must be 24h")
    return {
        "input_file_id": given["input_file_id"],
        "endpoint": endpoint,
        "completion_window": "24h",
        "metadata": _metadata(given.get("metadata")),
    }


def _metadata(given: object) -> dict[str, str] | None:
    if given is None:
        return None
    if not isinstance(given, dict) or len(given) > _PAIRS:
        raise invalid("metadata", f"must be an object with at most {_PAIRS} fields")
    for name, value in given.items():
        if len(name) > _NAME or not isinstance(value, str) or len(value) > _VALUE:
            raise invalid("metadata", f"names have at most {_NAME} characters; values are strings of at most {_VALUE}")
    return given


def _model(head: bytes) -> str | None:
    """The model that the first request names; None if it names none, or is very long."""
    line = head.removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n")[0]
    try:
        request = json.loads(line)
        model = request["body"]["model"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return model if isinstance(model, str) else None


def _document(token: str, record: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": ids.batch_id(token),
        "object": "batch",
        "endpoint": record["endpoint"],
        "model": record["model"],
        "errors": None,
        "input_file_id": record["input_file_id"],
        "completion_window": record["completion_window"],
        "output_file_id": None,
        "error_file_id": None,
        "created_at": record["created_at"],
        "expires_at": None,  # a batch is processed until it has ended
        **dict.fromkeys(_TIMES),
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "metadata": record["metadata"],
        **state,
    }
