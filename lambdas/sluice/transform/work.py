"""What a part has to do: the lines of its byte range, and what goes out for each."""

from array import array
from dataclasses import dataclass, field, replace

from sluice.failures import Failure, FailureClass, invalid
from sluice.inputs.identity import folder_of
from sluice.inputs.invocation import Invocation, build, endpoint_of, message_for
from sluice.inputs.requests import TransformPart
from sluice.ports import Files, ObjectHead
from sluice.processing.attempt import Attempt
from sluice.settings import Settings
from sluice.transform.bisect import Refused
from sluice.transform.gzipped import unpacked_key
from sluice.transform.lines import Lines, lines_of
from sluice.transform.memory import Reservation, ResponseSizeRatio, needed
from sluice.transform.options import Options
from sluice.transform.records import CSV, Codec, RecordError, check_csv, filtered

_TAIL = 16 * 1024  # bytes read beyond a range at first, for the end of its last line
MAX_LINES = 32 * 1024  # of a part: with more, the first are answered, and the rest goes on as a part of its own
MAX_REFUSED = 4096  # the same for lines that are refused, each of which has an error in memory


@dataclass(slots=True)
class Work:
    """A part's lines: what goes out for each, and which never do. `lines.is_cut` says that these are its first ones."""

    part: TransformPart
    options: Options
    invocation: Invocation
    codec: Codec
    lines: Lines
    sizes: list[int] = field(default_factory=list)  # of what goes out for each line; 0 where nothing does
    filtered: list[bytes] = field(default_factory=list)
    refused: dict[int, Refused] = field(default_factory=dict)

    def sent(self, index: int) -> bytes:
        """What goes out for a line: itself, where nothing filters it."""
        return self.filtered[index] if self.filtered else self.lines[index]

    def is_header(self, index: int) -> bool:
        """Whether a line only names the columns."""
        return index == 0 == self.part.start and self.options.csv_header and self.codec.base == CSV


def refusal(code: str, message: str) -> Refused:
    """A record's failure that no endpoint has a part in."""
    return Refused(Failure(FailureClass.INVALID, code, message))


class Reader:
    """Reads parts."""

    def __init__(self, settings: Settings, files: Files, answered: ResponseSizeRatio) -> None:
        self._settings = settings
        self._answered = answered
        self._files = files

    def read(self, attempt: Attempt, part: TransformPart, head: ObjectHead, reservation: Reservation) -> Work:
        """The work of `part`, a part of the file that `head` tell of. Sets the endpoint and the IDs of `attempt`.

        It fits into `reservation`, which is changed so. Raises `Failure` when the file breaks a rule,
        `PreconditionFailed` when it was replaced, `MemoryExhausted`, `ServiceError`.
        """
        options = Options.from_metadata(head.metadata, self._settings.transform_defaults)
        message = message_for(part.file, head.metadata, self._settings)
        attempt.endpoint_name = endpoint_of(message, self._settings)
        trace_id = message.trace_id or message.inference_id or attempt.identity.trace_id
        attempt.identity = replace(attempt.identity, trace_id=trace_id, inference_id=trace_id)
        request = build(
            message, attempt.identity, b"", self._settings, key=part.file.key, object_content_type=head.content_type
        )
        most = min(options.max_payload * 1024 * 1024, self._settings.max_body_bytes)
        work = Work(part, options, request, Codec(request.parameters["ContentType"]), Lines())
        folder = folder_of(attempt.identity)
        if options.split_type == "None":
            self._whole(work, folder, head, reservation)
        else:
            self._lines(work, folder, head, most, reservation)
        self._prepare(work, most)
        reservation.resize(self._needed(work, len(work.lines.data), len(work.lines)))
        return work

    def _needed(self, work: Work, size: int, lines: int) -> int:
        return needed(size, lines, self._answered.expected(work.invocation.endpoint_name, size))

    def _whole(self, work: Work, folder: str, head: ObjectHead, reservation: Reservation) -> None:
        """All of the part as one line."""
        part = work.part
        reservation.resize(self._needed(work, part.end - part.start, 1))
        data = self._read(part, folder, head, part.start, part.end)
        work.lines = Lines(data, part.start, 0, array("Q", [len(data)]))

    def _lines(self, work: Work, folder: str, head: ObjectHead, most: int, reservation: Reservation) -> None:
        """Its lines, with as much read beyond it as the last of them takes."""
        part = work.part
        size = whole = (part.file.size or 0) if part.unpacked else head.size
        at = max(0, part.start - 1)
        beyond = _TAIL
        while True:
            upto = min(whole, part.end + beyond)
            reservation.resize(self._needed(work, upto - at, MAX_LINES))
            data = self._read(part, folder, head, at, upto)
            if beyond > most:
                size = at + len(data)  # A line that no call can carry; what is there tells which it is.
            work.lines = lines_of(data, start=part.start, end=part.end, at=at, size=size, most=MAX_LINES)
            if not work.lines.needs_more:
                return
            del data  # lets go of it before more is held
            beyond = min(4 * beyond, most + 1)

    def _read(self, part: TransformPart, folder: str, head: ObjectHead, start: int, end: int) -> bytes:
        if part.unpacked:  # which is written once
            return self._files.read(self._settings.results_bucket, unpacked_key(folder), start, end, etag=None)
        return self._files.read(part.file.bucket, part.file.key, start, end, etag=head.version.etag)

    def _prepare(self, work: Work, most: int) -> None:
        """What goes out for each line, or why nothing does."""
        for index, line in enumerate(work.lines):
            sent = b"" if not line or work.is_header(index) else self._sent(work, index, line, most)
            work.sizes.append(len(sent))
            if not work.options.input_filter.is_root:
                work.filtered.append(sent)
            if len(work.refused) == MAX_REFUSED:
                work.lines = work.lines.first(index + 1)
                return

    def _sent(self, work: Work, index: int, line: bytes, most: int) -> bytes:
        if work.codec.base == CSV and work.options.split_type == "Line":
            try:
                check_csv(line)
            except RecordError as error:
                # Not this line alone: how the lines after it are to be read isn't known either.
                raise invalid(
                    "file",
                    f"line {index + 1} after byte {work.part.start} {error}; CSV with line breaks in its fields can't "
                    "be split by lines: write it as JSON lines, or without those line breaks",
                ) from None
        if len(line) <= most:
            try:
                sent = filtered(line, work.options.input_filter, work.codec)
            except RecordError as error:
                work.refused[index] = refusal("InvalidRecord", str(error))
                return b""
            if len(sent) <= most:
                return sent
        work.refused[index] = refusal("RecordTooLong", f"it is over MaxPayload or max_body_bytes, {most} bytes")
        return b""
