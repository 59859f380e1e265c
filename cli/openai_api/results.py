"""The output file and the error file of a batch, which are parts of the result of its dataset."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cli.openai_api import ids
from cli.openai_api.store import Listed, Store
from sluice import keys
from sluice.error_codes import FailureClass
from sluice.failures import Failure
from sluice.inputs.strict_json import compact_bytes
from sluice.transform.openai_batch import refused_line

OUTPUT = "output"
ERRORS = "errors"
_MAX_KNOWN = 10_000
_ANSWERED = b',"error":null}'  # how a line of the result ends if the model has answered


@dataclass(frozen=True, slots=True)
class Found:
    """What is stored of the result of a batch, by suffix."""

    objects: Mapping[str, Listed]

    def has(self, suffix: str) -> bool:
        """Whether there is an object with this suffix."""
        return suffix in self.objects

    def modified(self, suffix: str) -> datetime:
        """When the object with this suffix was stored."""
        return self.objects[suffix].modified

    @property
    def kinds(self) -> list[str]:
        """The files that the batch has."""
        if not (self.has(keys.OUT) or self.has(keys.ERR)):
            return []
        return [kind for kind, suffix in ((OUTPUT, keys.OUT), (ERRORS, keys.ERRORS)) if self.has(suffix)]

    def ended(self) -> datetime:
        """When the batch ended."""
        return self.modified(keys.OUT if self.has(keys.OUT) else keys.ERR)


@dataclass(slots=True)
class Results:
    """The results of batches. The sizes of files that were computed are kept, because results do not change."""

    store: Store
    _sizes: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def find(self, token: str) -> Found:
        """What is stored of the result of one batch."""
        return self.find_all(token).get(token, Found({}))

    def find_all(self, token: str = "") -> dict[str, Found]:
        """What is stored of the results of all batches, or of one, by token."""
        found: dict[str, dict[str, Listed]] = {}
        for one in self.store.list(ids.input_key(token) if token else ids.INPUTS_PREFIX):
            name, dot, suffix = one.key.removeprefix(ids.INPUTS_PREFIX).partition(".jsonl.")
            if dot:
                found.setdefault(name, {})[f".{suffix}"] = one
        return {name: Found(objects) for name, objects in found.items()}

    def size(self, token: str, kind: str, found: Found) -> int:
        """The size of a file in bytes. The result is read once if it holds both answers and errors."""
        if kind == OUTPUT and not found.has(keys.ERRORS):
            return found.objects[keys.OUT].size
        of = found.objects[keys.OUT if found.has(keys.OUT) else keys.ERRORS]
        known = (of.key, of.etag, kind)
        if known not in self._sizes:
            if len(self._sizes) >= _MAX_KNOWN:
                self._sizes.pop(next(iter(self._sizes)))
            self._sizes[known] = sum(map(len, self.content(token, kind, found)))
        return self._sizes[known]

    def content(self, token: str, kind: str, found: Found) -> Iterator[bytes]:
        """The lines of a file. If no request was answered, there is no result, and the errors are read instead."""
        name = ids.input_key(token)
        if not found.has(keys.OUT):
            for line in self.store.lines(name + keys.ERRORS):
                yield _error_line(json.loads(line)) + b"\n"
            return
        for line in self.store.lines(name + keys.OUT):
            if line and line.endswith(_ANSWERED) == (kind == OUTPUT):
                yield line + b"\n"


def _error_line(error: Mapping[str, Any]) -> bytes:
    """A line of `.errors.jsonl` as one of OpenAI's error file."""
    failure = Failure(
        FailureClass.MODEL,
        error["ErrorCode"],
        error["ErrorMessage"],
        original_status_code=error.get("OriginalStatusCode"),
        original_message=error.get("OriginalMessage"),
    )
    custom_id = compact_bytes(error.get("CustomId"))
    return refused_line(error.get("Id", ""), custom_id, error.get("TraceId", ""), failure)
