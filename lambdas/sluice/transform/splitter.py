"""A dropped dataset, from its size to the messages of its parts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sluice import keys
from sluice.failures import invalid
from sluice.inputs.internal_messages import body_of
from sluice.inputs.invocation import check_ttl, endpoint_of, message_for
from sluice.inputs.requests import Assembly, DroppedObject, TransformPart, TransformRetry
from sluice.inputs.runs import run_of
from sluice.ports import Bucket, Buckets, MessageSender, ObjectHead
from sluice.processing.attempt import Attempt
from sluice.processing.outcome import Outcome, Status
from sluice.processing.outcomes import Outcomes
from sluice.settings import Settings
from sluice.transform.alignment import record_ranges
from sluice.transform.batch_file import BatchStore, Content, is_batch_file, requests_of
from sluice.transform.content_types import Syntax, charset_of, syntax_of
from sluice.transform.csv_records import has_quotes
from sluice.transform.file_type import HEAD_BYTES, check_lines, is_gzip, is_packed, type_of_file
from sluice.transform.format_store import FormatStore
from sluice.transform.lines import first_place, ranges
from sluice.transform.options import Options, chunk_bytes
from sluice.transform.progress import covering_parts, unanswered
from sluice.transform.records import check_options
from sluice.transform.replaced import Replaced, head_of_file, read_range
from sluice.transform.unpacker import Unpacker

_Attempt = Attempt[DroppedObject] | Attempt[TransformRetry]

_SAMPLES = 4  # of a file, in which it is looked for quotes
_NEEDED_MS = 60_000  # to send the messages of all parts
_REPLACED = "the file was replaced; its newer version is transformed"


@dataclass(frozen=True, slots=True)
class _Content:
    """What is cut into parts: the file, or what it is unpacked to."""

    bucket: Bucket
    key: str
    etag: str | None
    size: int
    unpacked: bool = False
    beginning: bytes = b""  # if it has been read

    async def read(self, start: int, end: int) -> bytes:
        """The bytes `start` to `end`. Raises as `read_range` does."""
        return await read_range(self.bucket, self.key, start, end, etag=self.etag)

    async def _beginning(self) -> bytes:
        return self.beginning or (await self.read(0, min(self.size, HEAD_BYTES)) if self.size else b"")

    async def check_header(self) -> None:
        """Raises `Failure` (invalid) when no header is found at the beginning, and as `read` does."""
        if self.size > HEAD_BYTES and first_place(await self._beginning()) >= HEAD_BYTES:
            raise invalid("file", f"has no header for CsvHeader: it begins with {HEAD_BYTES} bytes of empty lines")

    async def has_quotes(self, delimiter: bytes) -> bool:
        """Whether fields of a CSV file are quoted, in samples of it. Raises as `read` does."""
        if has_quotes(await self._beginning(), delimiter):
            return True
        for start in range(0, self.size, max(HEAD_BYTES, -(-self.size // _SAMPLES))):
            if start and has_quotes(await self.read(start, min(self.size, start + HEAD_BYTES)), delimiter):
                return True
        return False


class Splitter:
    """Splits datasets by their size, or CSV with quoted fields by its records.

    Which lines a part has is found when the part is processed.
    """

    def __init__(
        self,
        settings: Settings,
        inputs: Buckets,
        results: Bucket,
        outcomes: Outcomes,
        *,
        part_queue: MessageSender,
        assembly_queue: MessageSender,
        utc_now: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._inputs = inputs
        self._results = results
        self._outcomes = outcomes
        self._part_queue = part_queue
        self._assembly_queue = assembly_queue
        self._utc_now = utc_now
        self._batches = BatchStore(results)
        self._unpacker = Unpacker(inputs, results)

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
        head = await head_of_file(self._inputs(file.bucket), file.key)
        file.check_names_version(head)
        if not file.is_version(head):
            return attempt.ended(Status.SUPERSEDED, detail=_REPLACED)
        options = Options.from_metadata(head.metadata, self._settings.transform_defaults)
        message = message_for(file, head.metadata, self._settings)
        attempt = replace(attempt, endpoint_name=endpoint_of(message, self._settings))
        with attempt.reporting():
            check_ttl(message, self._utc_now() - attempt.delivery.sent_at)
            content_type = type_of_file(message, file.key, head, self._settings)
            options.check_type(content_type)
            check_options(options, content_type)
            try:
                content = await self._content(attempt, head, options, content_type)
                size = content.size
                if options.split_type == "None" and size > self._settings.max_body_bytes:
                    raise invalid(
                        "file", f"{size} bytes are over max_body_bytes, and SplitType None makes one call of them"
                    )
                if options.has_header and syntax_of(content_type) is Syntax.CSV:
                    await content.check_header()
                is_batch = await self._find_batch(attempt, content, options, content_type)
                parts = await self._parts(attempt, content, options, content_type)
            except Replaced:
                return attempt.ended(Status.SUPERSEDED, detail=_REPLACED)
            whole = replace(file, size=size, etag=head.etag)
            if isinstance(attempt.request, TransformRetry):
                run = run_of(attempt.delivery, retries=True)
                sent = await self._unanswered(attempt, parts, is_answered=stored is not None)
            else:
                run, sent = run_of(attempt.delivery), [(*part, None) for part in parts]
            if sent:
                await self._part_queue.send(
                    body_of(TransformPart(whole, start, end, content.unpacked, is_batch, is_aligned, run, earlier))
                    for start, end, is_aligned, earlier in sent
                )
            else:
                await self._assembly_queue.send([body_of(Assembly(whole, run))])
            return attempt.ended(Status.SUCCEEDED, detail=f"{len(sent)} parts")

    async def _unanswered(
        self, attempt: _Attempt, parts: Sequence[tuple[int, int, bool]], *, is_answered: bool
    ) -> list[tuple[int, int, bool, str | None]]:
        """What of a file is sent again. Raises `Failure` (invalid) when a part of its result is not stored any more."""
        names = await self._results.list(keys.parts_folder(attempt.identity.name, attempt.identity.key))
        if is_answered and parts and covering_parts(names, parts[-1][1]) is None:
            raise invalid(
                "file", "its parts have expired (retention.part_days), so its answers can't be kept; drop it again"
            )
        stored = await FormatStore(self._results).read(keys.parts_folder(attempt.identity.name, attempt.identity.key))
        is_refuted = stored is not None and stored.refuted is not None
        return list(unanswered(names, parts, is_refuted=is_refuted))

    async def already_resolved(self, attempt: _Attempt) -> Outcome | None:
        """The outcome when the dataset has been assembled, or superseded. Raises `ServiceError`.

        An earlier delivery may have sent all parts before this one failed.
        """
        return await self._outcomes.resolved(attempt)

    async def _find_batch(self, attempt: _Attempt, content: _Content, options: Options, content_type: str) -> bool:
        """Whether a file is an OpenAI batch file. If it is, what its parts must know of all of it is stored."""
        folder = keys.parts_folder(attempt.identity.name, attempt.identity.key)
        read = Content(content.read, content.size, content_type, self._settings.max_body_bytes)
        if not content.size or not await is_batch_file(read, options):
            return False
        if not await self._batches.is_saved(folder):
            await self._batches.save(folder, await requests_of(read))
        return True

    async def _content(self, attempt: _Attempt, head: ObjectHead, options: Options, content_type: str) -> _Content:
        """The content of the file, which is written anew if it cannot be cut as it is.

        Raises `Failure` (invalid) when it cannot be split as it must be, `Replaced`, `ServiceError`.
        """
        file = attempt.request.upload
        is_split = options.split_type == "Line"
        lines_type = content_type if is_split else None
        beginning, packed = b"", is_packed(file.key)
        if is_split and not packed:
            upto = min(head.size, HEAD_BYTES)
            bucket = self._inputs(file.bucket)
            beginning = await read_range(bucket, file.key, 0, upto, etag=head.etag) if upto else b""
            packed = is_gzip(beginning)
        charset = charset_of(content_type) if is_split else None
        if packed or charset is not None:
            folder = keys.parts_folder(attempt.identity.name, attempt.identity.key)
            size = await self._unpacker.unpack(
                file, head, folder, is_gzip=packed, charset=charset, lines_type=lines_type
            )
            return _Content(self._results, keys.unpacked_key(folder), None, size, unpacked=True)
        if is_split:
            check_lines(beginning, content_type, is_whole=head.size <= HEAD_BYTES)
        return _Content(self._inputs(file.bucket), file.key, head.etag, head.size, beginning=beginning)

    async def _parts(
        self, attempt: _Attempt, content: _Content, options: Options, content_type: str
    ) -> list[tuple[int, int, bool]]:
        """Where each part begins and ends, and whether records do so, too. Raises as `_content` does."""
        size = content.size
        chunk = max(1, size) if options.split_type == "None" else chunk_bytes(size)
        delimiter = options.delimiter(content_type)
        # Only if fields are quoted they may have line breaks, and only then it is worth reading all of the file.
        if size > chunk and syntax_of(content_type) is Syntax.CSV and await content.has_quotes(delimiter):
            return await record_ranges(
                content.read, size, chunk, delimiter, lambda: attempt.remaining_ms() > _NEEDED_MS
            )
        return [(start, end, False) for start, end in ranges(size, chunk)]
