"""Joins the parts of a dataset: its answers in order, its refused records with their line numbers, its summary."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from sluice import keys
from sluice.failures import Failure, Operation
from sluice.inputs.requests import Assembly
from sluice.inputs.strict_json import compact_bytes
from sluice.ports import Bucket, Buckets, Condition, ObjectHead, PreconditionFailed
from sluice.processing.attempt import Attempt
from sluice.processing.outcome import Outcome, Status
from sluice.processing.outcomes import Outcomes
from sluice.processing.prefetch import prefetch
from sluice.processing.result import (
    ENDPOINT_NAME,
    IDENTITY,
    INFERENCE_ID,
    RECEIVED_AT,
    RUN,
    SEQUENCER,
    SOURCE_KEY,
    SOURCE_VERSION,
    TRACE_ID,
    metadata,
    owner_of,
    timestamp,
)
from sluice.processing.storing import conflict
from sluice.transform.earlier import AT, OFFSET
from sluice.transform.heads import require_head
from sluice.transform.progress import covering_parts, of_run
from sluice.transform.replaced import head_of_file
from sluice.transform.verdict import StoredPart, requested_by, summary_of, type_of, verdict_of

_MOST_VERSIONS = 10  # that the deliveries of one assembly have written of one object


class Assembler:
    """Assembles datasets. Every delivery of an assembly writes the same objects.

    The errors and the summary are written before the `.out`, which decides which version of the dataset is answered.
    An assembly that is superseded then withdraws its own, so that those of the newer version show again.
    """

    def __init__(self, inputs: Buckets, results: Bucket, outcomes: Outcomes) -> None:
        self._inputs = inputs
        self._results = results
        self._outcomes = outcomes

    async def handle(self, attempt: Attempt[Assembly]) -> Outcome:
        """Write a dataset's `.out`, and before it `.errors.jsonl` and `.summary.json`.

        Raises `Failure` when none of its records succeeded, as the cause of `AttemptFailed`; `Deleted`; `ServiceError`
        when AWS fails.
        """
        name = attempt.identity.name
        stored = await self._outcomes.answer(attempt)
        if stored is not None and (outcome := await self._outcomes.settled_by(stored, attempt)) is not None:
            return await self._settled(outcome, attempt)
        file = attempt.request.file
        await head_of_file(self._inputs(file.bucket), file.key)
        folder = keys.parts_folder(name, attempt.identity.key)
        names = of_run(await self._results.list(folder), attempt.request.run)
        covering = covering_parts(names, file.size or 0)
        if covering is None:
            return attempt.ended(
                Status.SUPERSEDED, detail="parts are missing; storing the last part requests the assembly again"
            )
        parts = await self._described(covering)
        summary = summary_of(parts, attempt.request)
        has_result = stored is not None and owner_of(stored) == attempt.identity.key
        # A file that has a result does not lose it by a retry, which can only answer more of its records.
        if not has_result and (failure := verdict_of(parts, summary)) is not None:
            return await self._fail(attempt, parts, {**summary, "answers": folder}, failure)
        outcome = await self._outcomes.record_answer(
            attempt, lambda condition: self._write(attempt, parts, summary, condition), stored
        )
        return attempt.ended(Status.SUCCEEDED) if outcome is None else await self._settled(outcome, attempt)

    async def already_resolved(self, attempt: Attempt[Assembly]) -> Outcome | None:
        """The outcome when the dataset has been assembled, or superseded. Raises `ServiceError`."""
        outcome = await self._outcomes.resolved(attempt)
        return None if outcome is None else await self._settled(outcome, attempt)

    async def _described(self, covering: list[str]) -> list[StoredPart]:
        parts: list[StoredPart] = []
        before = 0
        keys_left = iter(covering)
        async for head in prefetch(self._head, covering):
            part = StoredPart(next(keys_left), head, before)
            before += part.number("records")
            parts.append(part)
        return parts

    async def _head(self, key: str) -> ObjectHead:
        return await require_head(self._results, key, Operation.STORE_RESULT)

    async def _fail(
        self, attempt: Attempt[Assembly], parts: list[StoredPart], summary: dict[str, Any], failure: Failure
    ) -> Outcome:
        """End a dataset that fails: the verdict over a file is taken over all of its parts.

        The answers stay in the folder of the parts, which the summary names.
        """
        if (outcome := await self.already_resolved(attempt)) is not None:
            return outcome
        try:
            await self._write_counts(attempt, parts, summary)
        except PreconditionFailed:
            raise conflict() from None
        requested = requested_by(parts)
        trace_id = requested.get(TRACE_ID) or attempt.identity.trace_id
        identity = replace(attempt.identity, trace_id=trace_id, inference_id=trace_id)
        attempt = replace(attempt, identity=identity, endpoint_name=requested.get(ENDPOINT_NAME))
        first: dict[str, Any] = {}
        async with aclosing(self._errors(parts)) as errors:
            async for line in errors:
                first = json.loads(line)
                break
        reason = failure.message
        if first:  # a file may fail without a refused record
            reason += f"; line {first['Line']}: {first['ErrorCode']}: {first['ErrorMessage']}"
        with attempt.reporting():
            raise Failure(
                failure.failure_class,
                failure.code,
                reason,
                original_status_code=first.get("OriginalStatusCode"),
                original_message=first.get("OriginalMessage"),
                log_stream_arn=first.get("LogStreamArn"),
            )

    async def _write_counts(self, attempt: Attempt[Assembly], parts: list[StoredPart], summary: dict[str, Any]) -> None:
        """Write `.errors.jsonl` and `.summary.json`."""
        file, name = attempt.request.file, attempt.identity.name
        owner = metadata([(IDENTITY, attempt.identity.key), (SEQUENCER, file.sequencer), (RUN, _retry(attempt))])
        errors = await self._results.head(name + keys.ERRORS)
        if summary["failed"]:
            await self._results.upload(
                name + keys.ERRORS,
                self._errors(parts),
                content_type="application/jsonlines",
                metadata=owner,
                condition=Condition.replacing(errors),
            )
        elif errors is not None and not await self._outcomes.is_outdated(file, errors):
            # Those of an older version. A delete marker has no owner who could withdraw it.
            await self._results.delete(name + keys.ERRORS, condition=Condition.replacing(errors))
        document = json.dumps(summary, indent=2).encode()
        await self._results.put(name + keys.SUMMARY, document, content_type="application/json", metadata=owner)

    async def _write(
        self, attempt: Attempt[Assembly], parts: list[StoredPart], summary: dict[str, Any], condition: Condition
    ) -> str | None:
        file, name = attempt.request.file, attempt.identity.name
        await self._write_counts(attempt, parts, summary)
        requested = requested_by(parts)
        trace_id = requested.pop(TRACE_ID, attempt.identity.trace_id)
        described: dict[str, str | None] = {
            IDENTITY: attempt.identity.key,
            SEQUENCER: file.sequencer,
            RUN: _retry(attempt),
            TRACE_ID: trace_id,
            INFERENCE_ID: trace_id,  # as in its calls
            ENDPOINT_NAME: requested.pop(ENDPOINT_NAME, attempt.endpoint_name),
            RECEIVED_AT: summary["started"] or timestamp(attempt.delivery.sent_at),
            "records": str(summary["records"]),
            "failed": str(summary["failed"]),
            SOURCE_VERSION: file.version_id or file.etag,
            SOURCE_KEY: file.source,
        }
        return await self._results.upload(
            name + keys.OUT,
            prefetch(self._body, [part.key for part in parts]),
            content_type=type_of(parts),
            metadata=metadata([*described.items(), *requested.items()]),
            condition=condition,
        )

    async def _settled(self, outcome: Outcome, attempt: Attempt[Assembly]) -> Outcome:
        """`outcome`, after the versions of the errors and of the summary are deleted that hide those of a newer one.

        The newer one is that of a newer version of the file, or of a later run that retries it.
        """
        run = None
        if outcome.status is not Status.SUPERSEDED:
            answer = await self._outcomes.answer(attempt)
            run = _retry(attempt) or ""
            if answer is None or answer.metadata.get(RUN, "") == run:
                return outcome
        for suffix in (keys.ERRORS, keys.SUMMARY):
            key = attempt.identity.name + suffix
            for _ in range(_MOST_VERSIONS):
                stored = await self._results.head(key)
                if stored is None or stored.version_id is None or owner_of(stored) != attempt.identity.key:
                    break
                if run is not None and stored.metadata.get(RUN, "") != run:
                    break
                await self._results.delete(key, version_id=stored.version_id)
        return outcome

    async def _errors(self, parts: list[StoredPart]) -> AsyncGenerator[bytes]:
        with_errors = [part for part in parts if "errors" in part.head.metadata]
        names = [part.key.removesuffix(keys.OUT) + part.head.metadata["errors"] for part in with_errors]
        left = iter(with_errors)
        async for document in prefetch(self._body, names):
            part = next(left)
            for line in document.splitlines():
                error: dict[str, Any] = json.loads(line)
                error["Line"] += part.before
                for place in (AT, OFFSET):
                    error.pop(place, None)
                yield compact_bytes(error) + b"\n"

    async def _body(self, key: str) -> bytes:
        return (await self._results.get(key)).body


def _retry(attempt: Attempt[Assembly]) -> str | None:
    """The run, if it is one that retries."""
    run = attempt.request.run
    return run.id if run and run.retries else None
