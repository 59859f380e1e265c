"""`/v1/files`: uploads in the input bucket, and the files of batches in the results bucket."""

from collections.abc import Iterator
from datetime import datetime
from typing import IO, Any
from urllib.parse import quote, unquote

from cli.openai_api import ids
from cli.openai_api.errors import ApiError, invalid, not_found
from cli.openai_api.results import OUTPUT, Found, Results
from cli.openai_api.store import Listed, Store

MAX_BYTES = 512 * 1024 * 1024  # of a file, as OpenAI's
_MAX_NAME = 255
_PURPOSES = ("batch", "batch_output")


class Files:
    """The files. `inputs` is the input bucket."""

    def __init__(self, inputs: Store, results: Results) -> None:
        self._inputs = inputs
        self._results = results

    def create(self, file: IO[bytes], size: int, filename: str, purpose: str) -> dict[str, Any]:
        """Upload a file. Raises `ApiError`."""
        if purpose != "batch":
            raise invalid("purpose", f"must be batch, the only purpose here, not {purpose[:80]!r}")
        name = filename.replace("\\", "/").rpartition("/")[2]
        if not 0 < len(quote(name, safe="")) <= _MAX_NAME:
            raise invalid("file", f"its name must have 1 to {_MAX_NAME} characters, percent-encoded")
        if size > MAX_BYTES:
            raise too_large()
        token = ids.new_token()
        self._inputs.upload(f"{ids.FILES_PREFIX}{token}/{quote(name, safe='')}", file, "application/jsonlines")
        return self.get(ids.file_id(token))

    def get(self, identifier: str) -> dict[str, Any]:
        """The file object of an ID. Raises `ApiError`."""
        if result := ids.result_of(identifier):
            return self._result(*result, self._found(identifier))
        return _uploaded(self.uploaded(identifier))

    def uploaded(self, identifier: str) -> Listed:
        """The object of an uploaded file. Raises `ApiError`."""
        token = ids.token_of_file(identifier)
        stored = next(self._inputs.list(f"{ids.FILES_PREFIX}{token}/", limit=1), None) if token else None
        if stored is None:
            raise not_found("File", identifier)
        return stored

    def list(self, purpose: str | None, *, newest_first: bool = True) -> list[dict[str, Any]]:
        """All files of a purpose. Raises `ApiError`."""
        if purpose not in (None, *_PURPOSES):
            raise invalid("purpose", f"must be one of {', '.join(_PURPOSES)}")
        listed: list[dict[str, Any]] = []
        if purpose in {None, "batch"}:
            listed += [_uploaded(one) for one in self._inputs.list(ids.FILES_PREFIX)]
        if purpose in {None, "batch_output"}:
            for token, found in self._results.find_all().items():
                listed += [self._result(token, kind, found) for kind in found.kinds]
        return sorted(listed, key=lambda one: (one["created_at"], one["id"]), reverse=newest_first)

    def content(self, identifier: str) -> Iterator[bytes]:
        """The content of a file, in pieces. Raises `ApiError`."""
        if result := ids.result_of(identifier):
            return self._results.content(*result, self._found(identifier))
        return self._inputs.chunks(self.uploaded(identifier).key)

    def delete(self, identifier: str) -> dict[str, Any]:
        """Delete an uploaded file. Batches that were created from it have a copy. Raises `ApiError`."""
        if result := ids.result_of(identifier):
            self._found(identifier)
            raise ApiError(
                400,
                f"{identifier} is a view of a result and cannot be deleted here; delete the objects "
                f"s3://{self._results.store.bucket}/{ids.input_key(result[0])}.*",
                param="file_id",
                code="unsupported",
            )
        self._inputs.delete(self.uploaded(identifier).key)
        return {"id": identifier, "object": "file", "deleted": True}

    def _found(self, identifier: str) -> Found:
        token, kind = ids.result_of(identifier) or ("", "")
        found = self._results.find(token)
        if kind not in found.kinds:
            raise not_found("File", identifier)
        return found

    def _result(self, token: str, kind: str, found: Found) -> dict[str, Any]:
        name = f"{ids.batch_id(token)}_{'output' if kind == OUTPUT else 'error'}.jsonl"
        size = self._results.size(token, kind, found)
        return _document(ids.result_id(token, kind), size, found.ended(), name, "batch_output")


def too_large() -> ApiError:
    """The error of a file that is over the limit."""
    return ApiError(413, f"file: is over {MAX_BYTES // 1024**2} MB; upload it in parts", param="file")


def _uploaded(stored: Listed) -> dict[str, Any]:
    token, _, name = stored.key.removeprefix(ids.FILES_PREFIX).partition("/")
    return _document(ids.file_id(token), stored.size, stored.modified, unquote(name), "batch")


def _document(identifier: str, size: int, created: datetime, name: str, purpose: str) -> dict[str, Any]:
    return {
        "id": identifier,
        "object": "file",
        "bytes": size,
        "created_at": int(created.timestamp()),
        "expires_at": None,
        "filename": name,
        "purpose": purpose,
        "status": "processed",
        "status_details": None,
    }
