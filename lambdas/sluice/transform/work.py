"""What a part has to do: the lines of its byte range, and what is sent for each."""

from array import array
from dataclasses import dataclass, field, replace

from sluice import keys
from sluice.error_codes import ErrorCode
from sluice.failures import Failure, invalid
from sluice.inputs.invocation import Invocation, build, endpoint_of, message_for
from sluice.inputs.requests import TransformPart
from sluice.ports import Buckets, ObjectHead
from sluice.processing.attempt import Attempt
from sluice.processing.memory import Reservation
from sluice.settings import Settings
from sluice.transform.answer_format import AnswerFormat
from sluice.transform.bisect import Refused
from sluice.transform.content_types import CSV
from sluice.transform.earlier import Earlier
from sluice.transform.lines import Lines, lines_of
from sluice.transform.memory import ResponseSizeRatio, needed
from sluice.transform.options import MAX_CHUNK_BYTES, Options
from sluice.transform.records import Codec, RecordError, check_csv, filtered

_TAIL = 16 * 1024  # bytes that are first read beyond a range, for the end of its last line
MAX_LINES = 32 * 1024  # of a part: the first of more are answered, and the rest continues as a part of its own
MAX_REFUSED = 4096  # likewise of lines that are refused, because each has an error in memory


@dataclass(slots=True)
class Work:
    """A part's lines: what is sent for each, and which are never sent. `lines.is_cut` means that there are more.

    `answer_format` is how the answers are divided; None until it is known.
    """

    part: TransformPart
    options: Options
    invocation: Invocation
    codec: Codec
    lines: Lines
    sizes: list[int] = field(default_factory=list)  # of what is sent for each line; 0 when nothing is sent
    filtered: list[bytes] = field(default_factory=list)
    refused: dict[int, Refused] = field(default_factory=dict)
    answer_format: AnswerFormat | None = None
    earlier: Earlier | None = None  # of a retry: the answers that are kept, whose lines are not sent
    is_untried: bool = False  # whether the part is stored without calls, because its file has failed

    @property
    def separator(self) -> bytes:
        """What follows each answer in the result."""
        return b"\n" if self.options.assemble_with == self.options.split_type == "Line" else b""

    def keep(self, earlier: Earlier) -> None:
        """Send only the lines that have no earlier answer."""
        self.earlier = earlier
        self.sizes = [size if index in earlier.gaps else 0 for index, size in enumerate(self.sizes)]
        self.refused = {index: refused for index, refused in self.refused.items() if index in earlier.gaps}

    def sent(self, index: int) -> bytes:
        """What is sent for a line: the line itself when there is no filter."""
        return self.filtered[index] if self.filtered else self.lines[index]

    def is_header(self, index: int) -> bool:
        """Whether a line only names the columns."""
        is_first = index == 0 == self.part.start and self.options.split_type == "Line"
        return is_first and self.options.csv_header and self.codec.base == CSV


@dataclass(frozen=True, slots=True)
class Prepared:
    """A part whose dataset's metadata has been read: what its calls have in common."""

    attempt: Attempt[TransformPart]
    options: Options
    invocation: Invocation


class Reader:
    """Reads parts."""

    def __init__(self, settings: Settings, inputs: Buckets, ratio: ResponseSizeRatio) -> None:
        self._settings = settings
        self._inputs = inputs
        self._ratio = ratio

    def prepare(self, attempt: Attempt[TransformPart], head: ObjectHead) -> Prepared:
        """Apply the metadata of the dataset: the endpoint, the IDs, the options.

        Raises `Failure` when they break a rule, some as the cause of `AttemptFailed`.
        """
        file = attempt.request.file
        options = Options.from_metadata(head.metadata, self._settings.transform_defaults)
        message = message_for(file, head.metadata, self._settings)
        attempt = replace(attempt, endpoint_name=endpoint_of(message, self._settings))
        trace_id = message.trace_id or message.inference_id or attempt.identity.trace_id
        attempt = replace(attempt, identity=replace(attempt.identity, trace_id=trace_id, inference_id=trace_id))
        with attempt.reporting():
            invocation = build(
                message, attempt.identity, b"", self._settings, key=file.key, object_content_type=head.content_type
            )
        return Prepared(attempt, options, invocation)

    async def read(self, prepared: Prepared, head: ObjectHead, reservation: Reservation) -> Work:
        """Read a part's lines. `reservation` is resized to what they take in memory.

        Raises `Failure` when the file breaks a rule, `PreconditionFailed` when it was replaced, `MemoryExhausted`,
        `ServiceError`.
        """
        attempt, options, invocation = prepared.attempt, prepared.options, prepared.invocation
        limit = min(options.max_payload * 1024 * 1024, self._settings.max_body_bytes)
        part = attempt.request
        whole = options.split_type == "None"
        if part.end - part.start > (self._settings.max_body_bytes if whole else MAX_CHUNK_BYTES):
            raise invalid("Start, End", "the range is larger than the split function makes one")
        work = Work(part, options, invocation, Codec(invocation.parameters["ContentType"]), Lines())
        folder = keys.folder_of_part(attempt.identity.name)
        if whole:
            await self._whole(work, folder, head, reservation)
        else:
            await self._lines(work, folder, head, limit, reservation)
        self._prepare_lines(work, limit)
        await reservation.resize(self._needed(work, len(work.lines.data), len(work.lines)))
        return work

    def _needed(self, work: Work, size: int, lines: int) -> int:
        return needed(size, lines, self._ratio.expected(work.invocation.endpoint_name, size))

    async def _whole(self, work: Work, folder: str, head: ObjectHead, reservation: Reservation) -> None:
        """All of the part as one line."""
        part = work.part
        await reservation.resize(self._needed(work, part.end - part.start, 1))
        data = await self._read(part, folder, head, part.start, part.end)
        work.lines = Lines(data, part.start, 0, array("Q", [len(data)]))

    async def _lines(self, work: Work, folder: str, head: ObjectHead, limit: int, reservation: Reservation) -> None:
        """The lines that begin in the part, with as much read beyond it as the last of them takes."""
        part = work.part
        size = whole = (part.file.size or 0) if part.unpacked else head.size
        at = max(0, part.start - 1)
        beyond = _TAIL
        while True:
            upto = min(whole, part.end + beyond)
            await reservation.resize(self._needed(work, upto - at, MAX_LINES))
            data = await self._read(part, folder, head, at, upto)
            if beyond > limit:
                size = at + len(data)  # The line is longer than any call can carry; what has been read identifies it.
            work.lines = lines_of(data, start=part.start, end=part.end, at=at, size=size, most=MAX_LINES)
            if not work.lines.needs_more:
                return
            del data  # frees it before more is reserved
            beyond = min(4 * beyond, limit + 1)

    async def _read(self, part: TransformPart, folder: str, head: ObjectHead, start: int, end: int) -> bytes:
        if part.unpacked:  # its content is written once
            bucket = self._inputs(self._settings.results_bucket)
            return await bucket.get_range(keys.unpacked_key(folder), start, end, etag=None)
        return await self._inputs(part.file.bucket).get_range(part.file.key, start, end, etag=head.etag)

    def _prepare_lines(self, work: Work, limit: int) -> None:
        """Decide what is sent for each line, or why nothing is."""
        for index, line in enumerate(work.lines):
            sent = b"" if not line or work.is_header(index) else self._sent(work, index, line, limit)
            work.sizes.append(len(sent))
            if not work.options.input_filter.is_root:
                work.filtered.append(sent)
            if len(work.refused) == MAX_REFUSED:
                work.lines = work.lines.first(index + 1)
                return

    def _sent(self, work: Work, index: int, line: bytes, limit: int) -> bytes:
        # A line that is too long may have been read only in part, so that its quotes say nothing.
        if work.codec.base == CSV and work.options.split_type == "Line" and len(line) <= limit:
            try:
                check_csv(line)
            except RecordError as error:
                # Not only this line: how the lines after it must be read is not known either.
                raise invalid(
                    "file",
                    f"line {index + 1} after byte {work.part.start} {error}; CSV with line breaks in its fields "
                    "cannot be split by lines: write it as JSON lines, or without those line breaks",
                ) from None
        if len(line) <= limit:
            try:
                sent = filtered(line, work.options.input_filter, work.codec)
            except RecordError as error:
                work.refused[index] = Refused(Failure.of(ErrorCode.INVALID_RECORD, str(error)))
                return b""
            if len(sent) <= limit:
                return sent
        work.refused[index] = Refused(
            Failure.of(ErrorCode.RECORD_TOO_LONG, f"it is over MaxPayload or max_body_bytes, {limit} bytes")
        )
        return b""
