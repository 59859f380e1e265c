"""What a part has to do: the lines of its byte range, and what goes out for each."""

from dataclasses import dataclass, field, replace

from sluice.arrivals import TransformPart
from sluice.attempt import Attempt
from sluice.failures import Failure, FailureClass, invalid
from sluice.identity import folder_of
from sluice.ports import Files, InputFacts
from sluice.request import Request, build, endpoint_of, message_for
from sluice.settings import Settings
from sluice.transform.bisect import Refused
from sluice.transform.gzipped import unpacked_key
from sluice.transform.lines import Lines, lines_of
from sluice.transform.options import Options
from sluice.transform.records import CSV, Codec, RecordError, check_csv, filtered

_TAIL = 16 * 1024  # bytes read beyond a range at first, for the end of its last line


@dataclass(slots=True)
class Work:
    """A part's lines: what goes out for each, and which never do."""

    part: TransformPart
    options: Options
    request: Request
    codec: Codec
    lines: list[bytes]
    begins: list[int]
    sent: dict[int, bytes] = field(default_factory=dict)
    refused: dict[int, Refused] = field(default_factory=dict)

    def is_header(self, index: int) -> bool:
        """Whether a line only names the columns."""
        return index == 0 == self.part.start and self.options.csv_header and self.codec.base == CSV


def refusal(code: str, message: str) -> Refused:
    """A record's failure that no endpoint has a part in."""
    return Refused(Failure(FailureClass.INVALID, code, message))


class Reader:
    """Reads parts."""

    def __init__(self, settings: Settings, files: Files) -> None:
        self._settings = settings
        self._files = files

    def read(self, attempt: Attempt, part: TransformPart, facts: InputFacts) -> Work:
        """The work of `part`, a part of the file that `facts` tell of. Sets the endpoint and the IDs of `attempt`.

        Raises `Failure` when the file breaks a rule, `PreconditionFailed` when it was replaced, `ServiceError`.
        """
        options = Options.from_metadata(facts.metadata, self._settings.transform_defaults)
        message = message_for(part.file, facts.metadata, self._settings)
        attempt.endpoint_name = endpoint_of(message, self._settings)
        trace_id = message.trace_id or message.inference_id or attempt.identity.trace_id
        attempt.identity = replace(attempt.identity, trace_id=trace_id, inference_id=trace_id)
        request = build(
            message, attempt.identity, b"", self._settings, key=part.file.key, object_content_type=facts.content_type
        )
        most = options.max_payload * 1024 * 1024
        found = self._lines(part, folder_of(attempt.identity), facts, most, single=options.split_type == "None")
        codec = Codec(request.parameters["ContentType"])
        work = Work(part, options, request, codec, found.records, found.begins)
        for index, line in enumerate(found.records):
            if line and not work.is_header(index):
                self._prepare(work, index, line, min(most, self._settings.max_body_bytes))
        return work

    def _lines(self, part: TransformPart, folder: str, facts: InputFacts, most: int, *, single: bool) -> Lines:
        """The part's lines; all of it as one where it is one record."""
        bucket, key, whole = part.file.bucket, part.file.key, facts.size
        etag: str | None = facts.version.etag
        if part.unpacked:
            bucket, key, whole = self._settings.results_bucket, unpacked_key(folder), part.file.size or 0
            etag = None  # written once
        at, size = max(0, part.start - 1), whole
        data, beyond = b"", _TAIL
        while True:
            upto = min(whole, part.end + beyond)
            data += self._files.read(bucket, key, at + len(data), upto, etag=etag)
            if single:
                return Lines([data], needs_more=False, begins=[0])
            if len(data) - (part.end - at) > most:
                size = at + len(data)  # A line that no call can carry; what is there tells which it is.
            found = lines_of(data, start=part.start, end=part.end, at=at, size=size)
            if not found.needs_more:
                return found
            beyond *= 4

    def _prepare(self, work: Work, index: int, line: bytes, most: int) -> None:
        """What goes out for a line, or why nothing does."""
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
        try:
            sent = filtered(line, work.options.input_filter, work.codec)
        except RecordError as error:
            work.refused[index] = refusal("InvalidRecord", str(error))
            return
        if len(sent) > most:
            work.refused[index] = refusal("RecordTooLong", f"it is over MaxPayload or max_body_bytes, {most} bytes")
            return
        work.sent[index] = sent
