"""A dropped dataset, from its size to the messages of its parts."""

import zlib
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from datetime import datetime

from sluice import keys
from sluice.failures import invalid
from sluice.inputs.internal_messages import body_of
from sluice.inputs.invocation import check_ttl, endpoint_of, message_for
from sluice.inputs.requests import Assembly, DroppedObject, TransformPart, TransformRetry
from sluice.inputs.runs import run_of
from sluice.ports import Bucket, Buckets, Condition, MessageSender, ObjectHead, PreconditionFailed
from sluice.processing.attempt import Attempt
from sluice.processing.outcome import Outcome, Status
from sluice.processing.outcomes import Outcomes
from sluice.settings import Settings
from sluice.transform.gzipped import is_packed, unpacked
from sluice.transform.heads import require_head
from sluice.transform.lines import ranges
from sluice.transform.options import Options, chunk_bytes
from sluice.transform.progress import covering_parts, unanswered

_Attempt = Attempt[DroppedObject] | Attempt[TransformRetry]
_PIECE = 8 * 1024 * 1024  # bytes of a gzip file that are read at once


class Splitter:
    """Splits datasets by their size. Which lines a part has is found when the part is processed."""

    def __init__(
        self,
        settings: Settings,
        inputs: Buckets,
        results: Bucket,
        outcomes: Outcomes,
        *,
        request_queue: MessageSender,
        assembly_queue: MessageSender,
        utc_now: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._inputs = inputs
        self._results = results
        self._outcomes = outcomes
        self._request_queue = request_queue
        self._assembly_queue = assembly_queue
        self._utc_now = utc_now

    async def handle(self, attempt: _Attempt) -> Outcome:
        """Send the messages of a dataset's parts. A second delivery sends them again; each part is answered once.

        For a retry, messages are sent for the records that have no answer. Raises `Failure` when the file's metadata
        breaks a rule, or when the answers to keep are gone; `ServiceError` when AWS fails.
        """
        file = attempt.request.upload
        if file.bucket != self._settings.input_bucket or not keys.is_dataset(file.key):
            raise invalid("Key", f"only files under {keys.TRANSFORM_PREFIX} of the input bucket can be retried")
        stored = await self._outcomes.answer(attempt)
        if stored is not None and (outcome := await self._outcomes.settled_by(stored, attempt)) is not None:
            return outcome
        head = await require_head(self._inputs(file.bucket), file.key)
        file.check_names_version(head)
        if not file.is_version(head):
            return attempt.ended(Status.SUPERSEDED, detail="the file was replaced; its newer version is transformed")
        options = Options.from_metadata(head.metadata, self._settings.transform_defaults)
        message = message_for(file, head.metadata, self._settings)
        attempt = replace(attempt, endpoint_name=endpoint_of(message, self._settings))
        with attempt.reporting():
            check_ttl(message, self._utc_now() - attempt.delivery.sent_at)
            packed = is_packed(file.key)
            size = await self._unpack(attempt, head) if packed else head.size
            if options.split_type == "None" and size > self._settings.max_body_bytes:
                raise invalid(
                    "file", f"{size} bytes are over max_body_bytes, and SplitType None makes one call of them"
                )
            parts = ranges(size, max(1, size) if options.split_type == "None" else chunk_bytes(size))
            whole = replace(file, size=size, etag=head.etag)
            if isinstance(attempt.request, TransformRetry):
                run = run_of(attempt.delivery, retries=True)
                sent = await self._unanswered(attempt, parts, is_answered=stored is not None)
            else:
                run, sent = run_of(attempt.delivery), [(start, end, None) for start, end in parts]
            if sent:
                await self._request_queue.send(
                    body_of(TransformPart(whole, start, end, packed, run, earlier)) for start, end, earlier in sent
                )
            else:
                await self._assembly_queue.send([body_of(Assembly(whole, run))])
            return attempt.ended(Status.SUCCEEDED, detail=f"{len(sent)} parts")

    async def _unanswered(
        self, attempt: _Attempt, parts: Sequence[tuple[int, int]], *, is_answered: bool
    ) -> list[tuple[int, int, str | None]]:
        """What of a file is sent again. Raises `Failure` (invalid) when a part of its result is not stored any more."""
        names = await self._results.list(keys.parts_folder(attempt.identity.name, attempt.identity.key))
        if is_answered and parts and covering_parts(names, parts[-1][1]) is None:
            raise invalid(
                "file", "its parts have expired (retention.part_days), so its answers can't be kept; drop it again"
            )
        return list(unanswered(names, parts))

    async def already_resolved(self, attempt: _Attempt) -> Outcome | None:
        """The outcome when the dataset has been assembled, or superseded. Raises `ServiceError`.

        An earlier delivery may have sent all parts before this one failed.
        """
        return await self._outcomes.resolved(attempt)

    async def _unpack(self, attempt: _Attempt, head: ObjectHead) -> int:
        """Write the content of a gzip file to the folder of its parts. Returns its size in bytes."""
        key = keys.unpacked_key(keys.parts_folder(attempt.identity.name, attempt.identity.key))
        if (there := await self._results.head(key)) is not None:
            return there.size  # an earlier delivery has written it
        try:
            await self._results.upload(
                key,
                unpacked(self._pieces(attempt.request.upload, head)),
                content_type=head.content_type or "application/octet-stream",
                metadata={},
                condition=Condition(),
            )
        except PreconditionFailed:
            pass  # an earlier delivery has written it
        except (EOFError, zlib.error) as error:
            raise invalid("file", f"is called .gz and is not a complete gzip file: {error}") from None
        return (await require_head(self._inputs(self._settings.results_bucket), key)).size

    async def _pieces(self, file: DroppedObject, head: ObjectHead) -> AsyncGenerator[bytes]:
        for start, end in ranges(head.size, _PIECE):
            yield await self._inputs(file.bucket).get_range(file.key, start, end, etag=head.etag)
