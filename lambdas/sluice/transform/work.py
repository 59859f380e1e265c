"""What a part has to do: the lines of its byte range, and what is sent for each."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sluice import keys
from sluice.error_codes import ErrorCode
from sluice.failures import Failure, invalid
from sluice.inputs.invocation import Invocation, build, check_ttl, endpoint_of, message_for
from sluice.inputs.requests import TransformPart
from sluice.ports import Buckets, Inference, ObjectHead
from sluice.processing.attempt import Attempt
from sluice.processing.memory import Reservation
from sluice.settings import Settings
from sluice.transform.answer_format import AnswerFormat
from sluice.transform.batch_file import BatchStore
from sluice.transform.bisect import Refused
from sluice.transform.content_types import JSON, JSON_LINES, Syntax, states_syntax
from sluice.transform.cost import CallCosts
from sluice.transform.csv_records import cut_off, not_closed
from sluice.transform.earlier import Earlier
from sluice.transform.file_type import HEAD_BYTES, type_of_calls, type_of_file
from sluice.transform.lines import BOM, Lines, first_place, lines_of
from sluice.transform.memory import AnswerMemory, needed
from sluice.transform.openai_batch import Batch, RequestError
from sluice.transform.options import MAX_CHUNK_BYTES, Options, chunk_bytes
from sluice.transform.progress import rest_after
from sluice.transform.records import AnswerCodec, Codec, RecordError, check_options, filtered
from sluice.transform.replaced import read_range

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
    limit: int  # bytes of a request
    sizes: list[int] = field(default_factory=list)  # of what is sent for each line; 0 when nothing is sent
    filtered: list[bytes] = field(default_factory=list)  # what is sent for each line, unless it is the line itself
    refused: dict[int, Refused] = field(default_factory=dict)
    answer_format: AnswerFormat | None = None
    batch: Batch | None = None  # of an OpenAI batch file
    header_at: int | None = None  # the index of the line that only names the columns
    header: bytes = b""  # the line that each call begins with
    answer_type: str | None = None  # the content type of the first answer that states one
    earlier: Earlier | None = None  # of a retry: the answers that are kept, whose lines are not sent
    is_cut_off: bool = False  # whether the last line is longer than any call can carry, and was not read to its end
    is_untried: bool = False  # whether the part is stored without calls, because its file has failed
    all_of_part: tuple[list[int], dict[int, Refused]] = field(default_factory=lambda: ([], {}))  # as if none were kept
    calls_before: int = 0  # of earlier runs that found no answer; those of others are in `earlier`
    has_given_up: bool = False  # whether the part, which is all of its file, has found no answer and stops

    @property
    def separator(self) -> bytes:
        """What follows each answer in the result."""
        of_lines = self.options.assemble_with == self.options.split_type == "Line" or self.batch is not None
        return b"\n" if of_lines else b""

    @property
    def may_be_within_quotes(self) -> bool:
        """Whether the part may have begun within a quoted field, so that its lines may be no records."""
        part = self.part
        is_first = part.start == 0 or (part.file.size or 0) <= chunk_bytes(part.file.size or 0)
        is_csv = self.codec.syntax is Syntax.CSV and self.options.split_type == "Line"
        return is_csv and not (is_first or part.aligned)

    @property
    def open_at(self) -> int | None:
        """The byte at which a quoted field begins that no call can carry: where it ends has not been looked for."""
        return self.lines.not_closed if self.is_cut_off else None

    @property
    def places(self) -> Sequence[int]:
        """The indices of the lines at which the part may be cut: for a retry, those without an earlier answer."""
        return range(len(self.lines)) if self.earlier is None else list(self.earlier.gaps)

    def keep(self, earlier: Earlier) -> None:
        """Send only the lines that have no earlier answer."""
        self.earlier, self.all_of_part = earlier, (self.sizes, self.refused)
        self.sizes = [size if index in earlier.gaps else 0 for index, size in enumerate(self.sizes)]
        self.refused = {index: refused for index, refused in self.refused.items() if index in earlier.gaps}

    def drop_earlier(self) -> None:
        """Send all lines, because the answers that were kept may be those of other records."""
        (sizes, refused), count = self.all_of_part, len(self.lines)
        self.earlier, self.part = None, replace(self.part, earlier=None)
        self.sizes = sizes[:count]
        self.refused = {index: one for index, one in refused.items() if index < count}

    @property
    def answer_codec(self) -> AnswerCodec:
        """Reads the answers, as the format of the file divides them.

        If the endpoint does not say what it answers, it is what was asked for, or as the file is.
        """
        if self.answer_format is not None and self.answer_format.is_json:
            return AnswerCodec(JSON_LINES)
        return AnswerCodec(self.answer_type or self.invocation.parameters.get("Accept") or self.codec.content_type)

    @property
    def keeps_lines(self) -> bool:
        """Whether a line of the result holds an answer of several lines: in a JSON string or a field of CSV."""
        return self.options.join_source == "Input" or not self.options.output_filter.is_root

    def learn_type(self, inference: Inference) -> None:
        """Take the content type of an answer."""
        if self.answer_type is None and (states_syntax(inference.content_type) or self.options.split_type == "None"):
            self.answer_type = inference.content_type

    def sent(self, index: int) -> bytes:
        """What is sent for a line: the line itself when nothing of it is left out."""
        return self.filtered[index] if self.filtered else self.lines[index]

    def check_record(self, index: int) -> None:
        """Raises `RecordError` for a record that is not complete, or with which no answer can be joined."""
        if index == len(self.lines) - 1 and self.lines.not_closed is not None:
            raise RecordError(f"the quoted field that begins at byte {self.lines.not_closed} is not closed")
        if self.options.join_source == "Input":
            self.codec.load(self.lines[index])

    @property
    def may_have_header(self) -> bool:
        """Whether the first record of the file only names the columns."""
        return self.options.has_header and self.codec.syntax is Syntax.CSV

    def part_of(self, lines: range, *, and_rest: bool = False) -> TransformPart:
        """The part with some of the lines; with the last one also with what follows what was read, if `and_rest`."""
        size = self.part.file.size or 0
        if lines.start == len(self.lines):
            return rest_after(self.part, min(size, self.lines.place(lines.start)))
        start = self.lines.place(lines.start) if lines.start else self.part.start
        is_last = lines.stop == len(self.lines) and not (self.lines.is_cut or self.lines.is_crossing)
        to_end = is_last or (and_rest and lines.stop == len(self.lines))
        return replace(self.part, start=start, end=self.part.end if to_end else min(size, self.lines.place(lines.stop)))

    def give_up(self) -> None:
        """Leave the records of the whole file that were not tried as they are: it has failed."""
        self.has_given_up = True
        if self.earlier is not None:  # it has no answer either
            self.calls_before, self.earlier = self.earlier.calls, None
        if self.lines.is_cut:
            delimiter = self.codec.delimiter if self.codec.syntax is Syntax.CSV else None
            data = self.lines.data
            self.lines = lines_of(data, start=0, end=len(data), at=0, size=len(data), delimiter=delimiter)
            self.sizes += map(len, self.lines[len(self.sizes) :])

    def give_away(self, first: int) -> None:
        """Leave the lines from the index `first` on to other parts."""
        self.part = replace(self.part, end=self.lines.place(first))
        self.lines = replace(self.lines.first(first), is_cut=False, not_closed=None)
        del self.sizes[first:], self.filtered[first:]
        self.refused = {index: refused for index, refused in self.refused.items() if index < first}
        self.earlier = self.earlier and self.earlier.before(first)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A part whose dataset's metadata has been read: what its calls have in common."""

    attempt: Attempt[TransformPart]
    options: Options
    invocation: Invocation


class Reader:
    """Reads parts."""

    def __init__(self, settings: Settings, inputs: Buckets, costs: CallCosts) -> None:
        self._settings = settings
        self._inputs = inputs
        self._costs = costs
        self._batches = BatchStore(inputs(settings.results_bucket))

    def prepare(self, attempt: Attempt[TransformPart], head: ObjectHead, now: datetime) -> Prepared:
        """Apply the metadata of the dataset: the endpoint, the IDs, the options.

        Raises `Failure` when they break a rule or RequestTTLSeconds have passed, some as the cause of `AttemptFailed`.
        """
        file = attempt.request.file
        options = Options.from_metadata(head.metadata, self._settings.transform_defaults)
        message = message_for(file, head.metadata, self._settings)
        attempt = replace(attempt, endpoint_name=endpoint_of(message, self._settings))
        trace_id = message.trace_id or message.inference_id or attempt.identity.trace_id
        attempt = replace(attempt, identity=replace(attempt.identity, trace_id=trace_id, inference_id=trace_id))
        with attempt.reporting():
            # The age of the run: the message of a part that continues another one is younger.
            run, sent_at = attempt.request.run, attempt.delivery.sent_at
            check_ttl(message, now - (sent_at if run is None else min(sent_at, run.began)))
            content_type = type_of_file(message, file.key, head, self._settings)
            sent = message.model_copy(update={"content_type": type_of_calls(content_type, options)})
            invocation = build(sent, attempt.identity, b"", self._settings, key=file.key)
            check_options(options, content_type)
        return Prepared(attempt, options, invocation)

    async def read(self, prepared: Prepared, head: ObjectHead, reservation: Reservation) -> tuple[Work, AnswerMemory]:
        """Read a part's lines. `reservation` is resized to what they and their answers take in memory.

        Raises `Failure` when the file breaks a rule, `Replaced` when it was replaced, `MemoryExhausted`,
        `ServiceError`.
        """
        attempt, options, invocation = prepared.attempt, prepared.options, prepared.invocation
        limit = min(options.max_payload * 1024 * 1024, self._settings.max_body_bytes)
        part = attempt.request
        whole = options.split_type == "None"
        if not part.aligned and part.end - part.start > (self._settings.max_body_bytes if whole else MAX_CHUNK_BYTES):
            raise invalid("Start, End", "the range is larger than the split function makes one")
        content_type = invocation.parameters["ContentType"]
        codec = Codec(content_type, options.delimiter(content_type))
        work = Work(part, options, invocation, codec, Lines(), limit)
        folder = keys.folder_of_part(attempt.identity.name)
        if part.batch_file:
            identity, found = attempt.identity, await self._batches.load(folder)
            work.batch = Batch(identity.owner, invocation.trace_id, options.request_url, found)
            work.invocation = replace(invocation, parameters={**invocation.parameters, "ContentType": JSON})
        if whole:
            await self._whole(work, folder, head, reservation)
        else:
            await self._lines(work, folder, head, limit, reservation)
            if work.may_have_header:
                work.header_at = await self._header_at(work, folder, head)
                work.header = await self._header(work, folder, head, limit)
        self._prepare_lines(work, limit - len(work.header))
        size = len(work.lines.data)
        expected = self._costs.expected(work.invocation.endpoint_name, size)
        await reservation.resize(needed(size, len(work.lines), expected))
        return work, AnswerMemory(reservation, expected)

    def _needed(self, work: Work, size: int, lines: int) -> int:
        return needed(size, lines, self._costs.expected(work.invocation.endpoint_name, size))

    async def _whole(self, work: Work, folder: str, head: ObjectHead, reservation: Reservation) -> None:
        """All of the part as one line."""
        part = work.part
        await reservation.resize(self._needed(work, part.end - part.start, 1))
        data = await self._read(part, folder, head, part.start, part.end)
        work.lines = Lines(data, part.start, 0, array("Q", [len(data)]))

    async def _lines(self, work: Work, folder: str, head: ObjectHead, limit: int, reservation: Reservation) -> None:
        """The lines that begin in the part, with as much read beyond it as the last of them takes."""
        part = work.part
        size = whole = _end_of_lines(part, head)
        at = max(0, part.start - 1)
        beyond = _TAIL
        while True:
            # The records of an aligned part begin in its first chunk, but the last of them may be of any length.
            upto = min(whole, part.start + MAX_CHUNK_BYTES + limit + 1 if part.aligned else part.end + beyond)
            await reservation.resize(self._needed(work, upto - at, MAX_LINES))
            data = await self._read(part, folder, head, at, upto)
            if beyond > limit or part.aligned:
                size = at + len(data)  # The line is longer than any call can carry; what has been read identifies it.
            delimiter = work.codec.delimiter if work.codec.syntax is Syntax.CSV else None
            work.lines = lines_of(
                data, start=part.start, end=part.end, at=at, size=size, most=MAX_LINES, delimiter=delimiter
            )
            if not work.lines.needs_more:
                work.is_cut_off = size != whole and not part.aligned
                _check_closed(work)
                return
            del data  # frees it before more is reserved
            beyond = min(4 * beyond, limit + 1)

    async def _header_at(self, work: Work, folder: str, head: ObjectHead) -> int | None:
        """The index of the line with the names of the columns: the first one of the file that is not empty."""
        part = work.part
        if part.start > HEAD_BYTES or not work.lines:
            return None  # the split function has refused a file with so many empty lines before its header
        before = await self._read(part, folder, head, 0, work.lines.place(0)) if part.start else b""
        if first_place(before) < len(before):
            return None
        return next((index for index, line in enumerate(work.lines) if line), None)

    async def _header(self, work: Work, folder: str, head: ObjectHead, limit: int) -> bytes:
        """The line that each call begins with: the first record of the file, as the InputFilter leaves it."""
        part, codec = work.part, work.codec
        if work.options.csv_header != "repeat" or not work.lines:
            return b""
        size = (part.file.size or 0) if part.unpacked else head.size
        upto, most = _TAIL, HEAD_BYTES + limit + 1
        first = [] if work.header_at is None else [work.lines[work.header_at]]
        while not first:
            data = await self._read(part, folder, head, 0, min(size, upto))
            start = first_place(data)
            if start == size:
                return b""  # there is no record
            begin = 0 if data.startswith(BOM) and start == len(BOM) else start
            first = list(lines_of(data, start=begin, end=start + 1, at=0, size=size, most=1, delimiter=codec.delimiter))
            if upto >= most:
                break
            upto = min(4 * upto, most)
        if not first or len(first[0]) >= limit:
            raise invalid("file", f"its header is over MaxPayload or max_body_bytes, {limit} bytes")
        try:
            codec.check(first[0])
            return filtered(first[0], work.options.input_filter, codec) + b"\n"
        except RecordError as error:
            raise invalid("file", f"its header cannot be sent: {error}") from None

    async def _read(self, part: TransformPart, folder: str, head: ObjectHead, start: int, end: int) -> bytes:
        if part.unpacked:  # its content is written once
            bucket = self._inputs(self._settings.results_bucket)
            return await bucket.get_range(keys.unpacked_key(folder), start, end, etag=None)
        return await read_range(self._inputs(part.file.bucket), part.file.key, start, end, etag=head.etag)

    def _prepare_lines(self, work: Work, limit: int) -> None:
        """Decide what is sent for each line, or why nothing is."""
        for index, line in enumerate(work.lines):
            sent = b"" if not line or index == work.header_at else self._sent(work, index, line, limit)
            work.sizes.append(len(sent))
            if work.batch is not None or not work.options.input_filter.is_root:
                work.filtered.append(sent)
            if len(work.refused) == MAX_REFUSED:
                work.lines = work.lines.first(index + 1)
                return

    def _sent(self, work: Work, index: int, line: bytes, limit: int) -> bytes:
        if len(line) <= limit:
            try:
                if work.options.split_type == "Line":
                    work.codec.check(line)
                if work.batch is not None:
                    sent = work.batch.body(line, work.lines.place(index))
                else:
                    work.check_record(index)
                    sent = filtered(line, work.options.input_filter, work.codec)
            except (RecordError, RequestError) as error:
                work.refused[index] = Refused(Failure.of(ErrorCode.INVALID_RECORD, str(error)))
                return b""
            if len(sent) <= limit:
                return sent
        work.refused[index] = Refused(
            Failure.of(ErrorCode.RECORD_TOO_LONG, f"it is over MaxPayload or max_body_bytes, {limit} bytes")
        )
        return b""


def _end_of_lines(part: TransformPart, head: ObjectHead) -> int:
    """The byte up to which the last line of a part may reach."""
    if part.aligned:
        return part.end
    return (part.file.size or 0) if part.unpacked else head.size


def _check_closed(work: Work) -> None:
    """Raises `Failure` (invalid) when the rest of the file cannot be read, because a quoted field is not closed.

    A part that does not begin with the file may have begun within quotes, so that it cannot know: then it is the file's
    failure only if the parts before it end where it begins. What follows the field is left to the other ranges.
    """
    lines, part = work.lines, work.part
    if lines.not_closed is None or part.aligned:
        return
    if part.start:
        if work.is_cut_off:
            work.lines = replace(lines, is_crossing=False)
        return
    if work.is_cut_off:
        raise cut_off(lines.not_closed)
    line = lines.data.count(b"\n", 0, lines.not_closed) + 1
    raise not_closed(f"line {line}")
