"""The parts of a file, made one: its answers in order, its errors with their line numbers, its summary."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from sluice.inputs.identity import is_newer, parts_folder
from sluice.inputs.message import compact
from sluice.inputs.requests import Assembly
from sluice.ports import Parts, PreconditionFailed, Results, StoredObject
from sluice.processing.attempt import Attempt
from sluice.processing.outcome import Outcome, Status
from sluice.processing.result import (
    ACCEPT,
    CONTENT_TYPE,
    ENDPOINT_NAME,
    IDENTITY,
    INFERENCE_ID,
    OUT,
    RECEIVED_AT,
    SEQUENCER,
    SOURCE_KEY,
    TRACE_ID,
    metadata,
    timestamp,
)
from sluice.processing.storing import clear_failure
from sluice.transform.progress import covering_parts

ERRORS = ".errors.jsonl"
SUMMARY = ".summary.json"
_TRIES = 5  # Each lost race means that somebody else's write went through.


@dataclass(frozen=True, slots=True)
class _Part:
    """A stored part, and how many lines of the file come before it."""

    key: str
    metadata: Mapping[str, str]
    before: int

    def number(self, name: str) -> int:
        """One of its counts."""
        return int(self.metadata.get(name, "0"))


class Assembler:
    """Assembles files. Whoever does it, and however often, writes the same."""

    def __init__(self, results: Results, parts: Parts) -> None:
        self._results = results
        self._parts = parts

    def handle(self, attempt: Attempt) -> Outcome:
        """Write a file's `.out`, and before it `.errors.jsonl` and `.summary.json`.

        Raises `ServiceError` when AWS fails.
        """
        assembly = attempt.request
        if not isinstance(assembly, Assembly):
            raise TypeError(f"{type(assembly).__name__} is no file to assemble")
        name, file = attempt.identity.name, assembly.file
        for _ in range(_TRIES):
            stored = self._results.head(name + OUT)
            if (settled := self._settled_by(stored, attempt)) is not None:
                return settled
            keys = covering_parts(self._parts.names(parts_folder(attempt.identity)), file.size or 0)
            if keys is None:
                return attempt.ended(Status.SUPERSEDED, detail="parts are missing; whoever stores the last says so")
            parts = self._described(keys)
            try:
                self._write(attempt, parts, stored)
            except PreconditionFailed:
                continue
            clear_failure(self._results, name)
            return attempt.ended(Status.SUCCEEDED)
        raise TimeoutError(f"{_TRIES} conditional writes of {name}{OUT} were already_resolved")

    def already_resolved(self, attempt: Attempt) -> Outcome | None:
        """The outcome when a failure to assemble counts no more. Raises `ServiceError`."""
        return self._settled_by(self._results.head(attempt.identity.name + OUT), attempt)

    def _settled_by(self, stored: StoredObject | None, attempt: Attempt) -> Outcome | None:
        if stored is None:
            return None
        if stored.metadata.get(IDENTITY) == attempt.identity.key:
            clear_failure(self._results, attempt.identity.name)
            return attempt.ended(Status.DUPLICATE)
        assembly = attempt.request
        if isinstance(assembly, Assembly) and is_newer(stored.metadata.get(SEQUENCER), assembly.file.sequencer):
            return attempt.ended(Status.SUPERSEDED, detail="a newer upload of the same file was answered already")
        return None

    def _described(self, keys: list[str]) -> list[_Part]:
        parts: list[_Part] = []
        before = 0
        for key, described in zip(keys, self._parts.describe(keys), strict=True):
            part = _Part(key, described, before)
            before += part.number("records")
            parts.append(part)
        return parts

    def _write(self, attempt: Attempt, parts: list[_Part], stored: StoredObject | None) -> None:
        assembly, name = attempt.request, attempt.identity.name
        assert isinstance(assembly, Assembly)  # noqa: S101 - `answer` has looked
        # Of this version, whichever write wins: the names hold the version, and .out says which it is of.
        summary = _summary(parts, assembly)
        if summary["failed"]:
            there = self._results.head(name + ERRORS)
            self._parts.assemble(
                name + ERRORS,
                self._errors(parts),
                content_type="application/jsonlines",
                metadata=metadata([(IDENTITY, attempt.identity.key)]),
                replaces=there,
            )
        elif self._results.head(name + ERRORS) is not None:
            self._results.delete(name + ERRORS)
        self._results.put_error(name + SUMMARY, json.dumps(summary, indent=2).encode())
        asked = _asked(parts)
        trace_id = asked.pop(TRACE_ID, attempt.identity.trace_id)
        facts: dict[str, str | None] = {
            IDENTITY: attempt.identity.key,
            SEQUENCER: assembly.file.sequencer,
            TRACE_ID: trace_id,
            INFERENCE_ID: trace_id,  # as its calls have it
            ENDPOINT_NAME: asked.pop(ENDPOINT_NAME, attempt.endpoint_name),
            RECEIVED_AT: summary["started"] or timestamp(attempt.delivery.sent_at),
            "records": str(summary["records"]),
            "failed": str(summary["failed"]),
            "source-version": assembly.file.version_id,
            SOURCE_KEY: attempt.source,
        }
        self._parts.assemble(
            name + OUT,
            self._parts.read(part.key for part in parts),
            content_type=parts[0].metadata.get("content-type", "text/plain") if parts else "text/plain",
            metadata=metadata([*facts.items(), *asked.items()]),
            replaces=stored,
        )

    def _errors(self, parts: list[_Part]) -> Iterator[bytes]:
        with_errors = [part for part in parts if "errors" in part.metadata]
        documents = self._parts.read(part.key.removesuffix(OUT) + part.metadata["errors"] for part in with_errors)
        for part, document in zip(with_errors, documents, strict=True):
            for line in document.splitlines():
                error: dict[str, Any] = json.loads(line)
                error["Line"] += part.before
                yield compact(error).encode() + b"\n"


def _asked(parts: list[_Part]) -> dict[str, str | None]:
    """What the parts say of their calls, which are alike: all that they were asked for is the file's."""
    facts = parts[0].metadata if parts else {}
    return {name: unquote(facts[name]) for name in (TRACE_ID, ENDPOINT_NAME, CONTENT_TYPE, ACCEPT) if name in facts}


def _summary(parts: list[_Part], assembly: Assembly) -> dict[str, Any]:
    records, failed = (sum(part.number(name) for part in parts) for name in ("records", "failed"))
    return {
        "records": records,
        "succeeded": records - failed,
        "failed": failed,
        "calls": sum(part.number("calls") for part in parts),
        "bytes": assembly.file.size,
        "parts": len(parts),
        "started": min((part.metadata["started"] for part in parts), default=None),
        "finished": max((part.metadata["finished"] for part in parts), default=None),
    }
