"""The formats in which containers answer several records, and how an answer is divided into a line for each record.

An answer is divided only by the format of its file, never by what its own length suggests: an array may have as many
elements as there are records, and hold something else.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from sluice.failures import quoted
from sluice.transform import answer_parts, json_slices
from sluice.transform.content_types import base_type

_UNKNOWN = frozenset({"", "application/octet-stream", "binary/octet-stream"})  # which say nothing of the content
_MORE = 1000  # answers that are taken from an answer with too many of them, to tell how many there are
_MAX_FIELD = 100  # characters: a format is kept in the metadata of objects, which is 2 KB in all


class AnswerError(Exception):
    """A response cannot be divided into one answer for each record; the text says why.

    `found` is the number of answers that it holds: None if it cannot be read, or is of another content type. `is_blank`
    means that it has no content at all.
    """

    def __init__(self, text: str, *, found: int | None = None, is_blank: bool = False) -> None:
        super().__init__(text)
        self.found = found
        self.is_blank = is_blank


class Kind(StrEnum):
    """The kinds of formats, by the names under which they are set."""

    LINES = "Lines"
    LINES_WITH_HEADER = "LinesWithHeader"
    JSON_ARRAY = "JSONArray"
    JSON_FIELD = "JSONField"
    CSV_ROW = "CSVRow"
    COLUMNS = "Columns"
    NONE = "None"


VALID = "Lines, LinesWithHeader, JSONArray, JSONField:<name>, CSVRow, Columns, Columns:<name>,<name>, None"


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """A format. `fields` are the name of a JSONField, or those of Columns. Without them, Columns are the arrays with an
    element for each record. These are the same in all calls only if each call has one record.

    One that a probe has found has the `content_types` of the answers, without parameters. `is_ordered` says whether it
    is certain that they are in the order of the records. It is not while a container has only given equal answers.
    """

    kind: Kind
    fields: tuple[str, ...] = ()
    content_types: frozenset[str] = frozenset()
    is_ordered: bool = True

    @classmethod
    def parse(cls, text: str) -> Self:
        """The format of this name, such as `Lines` or `JSONField:predictions`. Raises `ValueError`."""
        name, colon, rest = text.partition(":")
        kind = Kind(name) if name in set(Kind) else None
        if kind is Kind.JSON_FIELD and 0 < len(rest) <= _MAX_FIELD:
            return cls(kind, (rest,))
        if kind is Kind.COLUMNS and colon and all(0 < len(one) <= _MAX_FIELD for one in rest.split(",")):
            return cls(kind, tuple(_unescaped(one) for one in rest.split(",")))
        if kind is None or colon or kind is Kind.JSON_FIELD:
            raise ValueError(f"must be one of {VALID}, not {quoted(text)}")
        return cls(kind)

    def __str__(self) -> str:
        """Its name, which `parse` reads."""
        if self.kind is Kind.COLUMNS and self.fields:
            return f"{self.kind}:{','.join(map(_escaped, self.fields))}"
        return ":".join([self.kind, *self.fields])

    @property
    def is_json(self) -> bool:
        """Whether each answer that it divides is JSON, whatever content type the container states."""
        return self.kind in {Kind.JSON_ARRAY, Kind.JSON_FIELD, Kind.COLUMNS}

    @property
    def holds_several(self) -> bool:
        """Whether an answer may be that of several records."""
        return self.kind is not Kind.NONE and not self.is_of_any_columns

    @property
    def is_of_any_columns(self) -> bool:
        """Whether it names no columns, so that a probe finds which of the arrays have an element for each record."""
        return self.kind is Kind.COLUMNS and not self.fields

    def restricted_to(self, wanted: Self | None) -> Self:
        """The format if it is one of those that are `wanted`, else `wanted` itself."""
        if wanted is None or (self.kind is Kind.COLUMNS and self.fields):
            return self
        return replace(self, kind=Kind.COLUMNS) if self.kind is Kind.JSON_FIELD else wanted

    @property
    def is_found(self) -> bool:
        """Whether a probe has found it, rather than that it is set."""
        return bool(self.content_types)

    def divide(self, body: bytes, content_type: str | None, count: int, *, keeps_lines: bool = False) -> list[bytes]:
        """One line for each of `count` records that were sent together. Raises `AnswerError`.

        With `keeps_lines`, all of a text may have several lines.
        """
        if not body or body.isspace():
            raise AnswerError("the answer is empty", found=0, is_blank=True)
        base = base_type(content_type or "")
        if self.content_types and base not in self.content_types | _UNKNOWN:
            others = ", ".join(sorted(self.content_types)) or "not stated"
            raise self._mismatch(f"its content type is {base[:80]}, and that of other answers is {others}")
        try:
            if (
                keeps_lines
                and self.kind is Kind.NONE
                and (text := answer_parts.text_of_lines(body, content_type)) is not None
            ):
                return [text]
            found = self._elements(body, content_type, count, 10 * count + _MORE)
        except json_slices.TooMany as error:
            raise self._mismatch(f"it holds over {error.most} answers for {count} records", error.most + 1) from None
        except ValueError as error:
            raise self._mismatch(f"it cannot be read: {answer_parts.reason(error)}") from None
        if len(found) != count:
            raise self._mismatch(f"it holds {len(found)} answers for {count} records", len(found))
        if not all(found) or any(one.isspace() for one in found):
            raise self._mismatch("one of its answers is empty")
        return found

    def _mismatch(self, why: str, found: int | None = None) -> AnswerError:
        return AnswerError(
            f"the answer does not follow the AnswerFormat {self}: {why}; if the container answers in another format, "
            f"set it with the file's metadata answer-format: {VALID}",
            found=found,
        )

    def _elements(self, body: bytes, content_type: str | None, count: int, most: int) -> list[bytes]:
        """The answers in a body. Raises `TooMany`, and `ValueError` when it is not of this format."""
        match self.kind:
            case Kind.LINES:
                return answer_parts.lines(body, content_type)
            case Kind.LINES_WITH_HEADER:
                return answer_parts.lines(body, content_type)[1:]
            case Kind.JSON_ARRAY:
                return json_slices.array(json_slices.text_of(body), most)
            case Kind.JSON_FIELD:
                return answer_parts.fields(body, self.fields, most)[0]
            case Kind.CSV_ROW:
                return answer_parts.row(body, most)
            case Kind.COLUMNS:
                return answer_parts.columns(body, self.fields, count, most)
            case Kind.NONE:
                return [answer_parts.whole(body, content_type)]


NONE = AnswerFormat(Kind.NONE)


def header_of(body: bytes) -> bytes:
    """The first line of an answer."""
    return answer_parts.lines(body)[0]


def array_fields(body: bytes) -> list[str]:
    """The names of the arrays in an answer that is a JSON object, as far as a format may have them as fields."""
    try:
        names = json_slices.arrays_of(json_slices.text_of(body))
    except ValueError:
        return []
    return [name for name in names if name and len(name) <= _MAX_FIELD and name.isprintable()]


def _escaped(name: str) -> str:
    return name.replace("%", "%25").replace(",", "%2C")


def _unescaped(name: str) -> str:
    return name.replace("%2C", ",").replace("%25", "%")
