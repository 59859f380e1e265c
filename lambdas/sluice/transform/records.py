"""Records on their way to the model and back: filtered, joined with their answers, grouped for calls."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sluice.failures import invalid, quoted
from sluice.inputs.strict_json import TooDeep, compact_bytes
from sluice.transform.content_types import (
    JSON_LINES,
    TEXT,
    Syntax,
    base_type,
    delimiter_of,
    not_utf8,
    syntax_of,
)
from sluice.transform.options import Options
from sluice.transform.paths import NotThere, Path
from sluice.transform.values import Cell, Json, NotClosed, csv_bytes, json_bytes, row_of

_OUTPUT = "SageMakerOutput"


class RecordError(Exception):
    """A record cannot be sent, or its answer not be joined with it; the text says why."""


@dataclass(frozen=True, slots=True)
class Codec:
    """Reads and writes records of one content type. Text that is neither CSV nor JSON cannot be filtered."""

    content_type: str
    delimiter: bytes = b","

    @property
    def syntax(self) -> Syntax:
        """How its records are written."""
        return syntax_of(self.content_type)

    def load(self, line: bytes) -> Any:
        """The record as a value that paths look into: a row of `Cell`, or a `Json`. Raises `RecordError`."""
        base = base_type(self.content_type)
        try:
            if self.syntax is Syntax.CSV:
                if not line.isascii():
                    line.decode()
                return row_of(line, self.delimiter)
            if self.syntax is Syntax.JSON:
                return Json.parse(line)
        except UnicodeDecodeError:
            raise RecordError(f"is not {base}: it is not UTF-8") from None
        except TooDeep as error:
            raise RecordError(str(error)) from None
        except json.JSONDecodeError as error:
            raise RecordError(f"is not {base}: {error.msg} at column {error.colno}") from None
        except NotClosed:
            raise RecordError(f"is not {base}: a quoted field is not closed") from None
        except ValueError as error:
            raise RecordError(f"is not {base}: {error}") from None
        raise RecordError(f"can't be filtered or joined, as it is {base}: use text/csv or application/jsonlines")

    def check(self, line: bytes) -> None:
        """Raises `RecordError` for a line that is not the text that its content type says."""
        if (why := not_utf8(line, self.content_type)) is not None:
            raise RecordError(why)

    def dump(self, value: Any) -> bytes:
        """A value as one record."""
        if self.syntax is not Syntax.CSV:
            return json_bytes(value)
        return csv_bytes(value if isinstance(value, list) else [value], self.delimiter)


@dataclass(frozen=True, slots=True)
class AnswerCodec:
    """Reads answers, each in one line, by the content type with which the endpoint answered.

    Containers state one type and write another. So a line that is a JSON object or array is JSON whatever the type is:
    `[0.1, 0.9]` as text/csv are not two fields `[0.1` and `0.9]`. But `null` as text/plain is a text.
    """

    content_type: str

    @property
    def syntax(self) -> Syntax:
        """How its answers are written, by its type alone."""
        return syntax_of(self.content_type)

    def load(self, answer: bytes) -> Any:
        """The answer as a value that paths look into: a row of `Cell`, or a `Json`. Text is a JSON string.

        Raises `RecordError` for JSON that is nested too deeply, and for what is not UTF-8.
        """
        if self.syntax is Syntax.JSON or _is_container(answer):
            try:
                return Json.parse(answer)
            except TooDeep as error:
                raise RecordError(f"its answer {error}") from None
            except ValueError:
                pass
        try:
            text = answer.decode()
        except UnicodeDecodeError:
            raise RecordError("its answer is not UTF-8, and its content type names no charset in which it is") from None
        if self.syntax is Syntax.CSV:
            try:
                return list(map(_separable, row_of(answer, delimiter_of(self.content_type))))
            except NotClosed:
                pass
        return Json(compact_bytes(text))

    def type_of_lines(self, answer: bytes) -> str:
        """The content type of lines such as `answer`."""
        if self.syntax is not Syntax.JSON and not _is_container(answer):
            return self.content_type
        try:
            Json.parse(answer)
        except ValueError:
            return TEXT if self.syntax is Syntax.JSON else self.content_type
        return JSON_LINES


def _separable(cell: Cell) -> Cell:
    """A field of an answer as it is written between commas."""
    is_separable = b"," not in cell.raw or cell.raw.startswith(b'"')
    return cell if is_separable else Cell(b'"%b"' % cell.raw.replace(b'"', b'""'))


def _is_container(answer: bytes) -> bool:
    """Whether an answer may be a JSON object or array."""
    return answer.lstrip()[:1] in {b"{", b"["}


def check_options(options: Options, content_type: str) -> None:
    """Raises `Failure` (invalid) for filters and joins that no record of the file can satisfy, before any call."""
    of_records = {
        "input-filter": not options.input_filter.is_root,
        "join-source": options.join_source == "Input",
    }
    used = [name for name, is_used in of_records.items() if is_used]
    if not used:
        return
    syntax = syntax_of(content_type)
    if syntax is Syntax.TEXT:
        raise invalid(
            used[0],
            "needs records of CSV or JSON; set the file's metadata content-type to text/csv or application/jsonlines; "
            f"it is {quoted(base_type(content_type))}",
        )
    if syntax is Syntax.CSV and options.split_type == "None":
        raise invalid(used[0], "needs split-type Line for CSV: a file that is not split is no single row")
    paths = {"input-filter": options.input_filter}
    if options.join_source == "Input":
        paths["output-filter"] = options.output_filter
    for name, path in paths.items():
        if syntax is Syntax.CSV and path.begins_with_name:
            raise invalid(
                name,
                "begins with a name, and a row of CSV has none: select by index, as $[0]; it is " + quoted(path.text),
            )


def filtered(line: bytes, path: Path, codec: Codec) -> bytes:
    """`line` as InputFilter leaves it. Raises `RecordError`."""
    if path.is_root:
        return line
    try:
        found = path.find(codec.load(line))
    except NotThere:
        raise RecordError("the InputFilter finds nothing in it, or not all the indices that it names") from None
    if codec.syntax is Syntax.CSV and found == []:
        raise RecordError("the InputFilter leaves nothing of it")
    return codec.dump(found)


def joined(line: bytes, answer: bytes, options: Options, codec: Codec, answers: AnswerCodec) -> bytes:
    """A record's line in the result: its answer, joined with the record and filtered if the options say so.

    As Batch Transform does it (DataProcessing). To a row of CSV, an answer that is a row or a flat JSON array adds its
    elements as fields, and any other answer adds one field. A JSON object gets the answer as `SageMakerOutput`, any
    other JSON becomes {"SageMakerInput": …, "SageMakerOutput": …}. Raises `RecordError`.
    """
    if options.join_source == "None" and options.output_filter.is_root:
        return answer
    output = answers.load(answer)
    if options.join_source == "None":
        is_json = isinstance(output, Json)
        codec = Codec(JSON_LINES if is_json else answers.content_type, delimiter_of(answers.content_type))
        value: Any = output
    elif codec.syntax is Syntax.CSV:
        value = [*codec.load(line), *_fields(output)]
    else:
        value = _object(codec.load(line), output)
    try:
        found = options.output_filter.find(value)
        if codec.syntax is Syntax.CSV and found == []:
            raise RecordError("the OutputFilter leaves nothing of the record and its answer")
        return codec.dump(found)
    except NotThere:
        raise RecordError(
            "the OutputFilter finds nothing in the record and its answer, or not all the indices that it names"
        ) from None


def _fields(output: Any) -> list[Any]:
    """The fields that an answer adds to a row of CSV."""
    if isinstance(output, Json):
        opened = output.opened()
        is_flat = isinstance(opened, list) and opened and not any(_is_container(one.raw) for one in opened)
        return list(opened) if is_flat and opened else [output]
    return output if isinstance(output, list) else [output]


def _object(record: Json, output: Any) -> Json:
    """A JSON record with its answer. A row of CSV is an array, or its only field's value."""
    if isinstance(output, list) and len(output) == 1:
        (output,) = output
    raw = json_bytes(output)
    if not record.raw.startswith(b"{"):
        return Json(b'{"SageMakerInput":%b,"SageMakerOutput":%b}' % (record.raw, raw))
    # The record stays as it is written, unless it has such a field already.
    if _OUTPUT.encode() in record.raw or b"\\u" in record.raw:
        fields = record.opened()
        if isinstance(fields, dict) and _OUTPUT in fields:
            return Json(json_bytes({**fields, _OUTPUT: Json(raw)}))
    comma = b"" if record.raw == b"{}" else b","
    return Json(b'%b%b"%b":%b}' % (record.raw[:-1], comma, _OUTPUT.encode(), raw))


def payloads(
    sizes: Sequence[int],
    most_bytes: Callable[[], int],
    most_records: Callable[[], int] = lambda: sys.maxsize,
    *,
    single: bool,
) -> Iterator[list[int]]:
    """Which lines are sent together: as many as fit into `most_bytes`, or each by itself. Empty lines are not sent.

    `most_bytes` and `most_records` are called for each group, when the group before it is done.
    """
    group: list[int] = []
    most = together = many = 0
    for index, size in enumerate(sizes):
        if not size:
            continue
        if group and (single or together + size + 1 > most or len(group) >= many):
            yield group
            group = []
        if not group:
            most, many, together = most_bytes(), most_records(), 0
        group.append(index)
        together += size + 1
    if group:
        yield group
