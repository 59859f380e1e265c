"""The content types that records and answers have."""

import codecs
import re
from enum import Enum
from functools import lru_cache

from sluice.failures import invalid, quoted

CSV = "text/csv"
JSON = "application/json"
JSON_LINES = "application/jsonlines"
TEXT = "text/plain"
_TSV_TYPES = frozenset({"text/tab-separated-values", "text/tsv"})
_CSV_TYPES = frozenset({CSV, "application/csv", "text/comma-separated-values", "text/x-csv", "application/x-csv"})
_JSON_LINES_TYPES = frozenset(
    {
        *(JSON_LINES, "application/jsonl", "application/x-jsonlines", "application/x-jsonl"),
        *("application/x-ndjson", "application/ndjson"),
    }
)
_UNSTATED = frozenset({"", "application/octet-stream", "binary/octet-stream", "text/html"})  # what servers default to
_CHARSET = re.compile(r""";\s*charset\s*=\s*["']?([^"';\s]*)["']?""", re.IGNORECASE)


class Syntax(Enum):
    """How the records of a content type are written."""

    CSV = "CSV"
    JSON = "JSON"
    TEXT = "text"


def base_type(content_type: str) -> str:
    """A content type in lower case, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def canonical(content_type: str) -> str:
    """A content type, with SageMaker's name for it instead of an alias of CSV or JSON Lines."""
    base, rest = base_type(content_type), content_type.partition(";")[1:]
    for name, aliases in ((CSV, _CSV_TYPES), (JSON_LINES, _JSON_LINES_TYPES)):
        if base in aliases and base != name:
            return name + "".join(rest)
    return content_type


def charset_of(content_type: str) -> str | None:
    """The charset of a content type, as Python names it; None when it is UTF-8 or not stated.

    Raises `Failure` (invalid) for a charset that is not known.
    """
    found = _CHARSET.search(content_type)
    if found is None:
        return None
    try:
        charset = codecs.lookup(found[1])
        "".encode(charset.name)  # raises LookupError for a codec that is no charset, such as base64
    except (LookupError, ValueError):
        raise invalid("content-type", f"its charset is not known: {quoted(found[1])}") from None
    return None if charset.name in {"utf-8", "utf-8-sig", "ascii"} else charset.name


def with_charset_utf8(content_type: str) -> str:
    """A content type with `charset=utf-8` instead of its charset."""
    return _CHARSET.sub("; charset=utf-8", content_type)


@lru_cache(maxsize=64)  # it is asked for each record
def syntax_of(content_type: str) -> Syntax:
    """How a record of this type is written: JSON Lines, and each document of a JSON type, is JSON."""
    base = base_type(content_type)
    if base in _CSV_TYPES | _TSV_TYPES:
        return Syntax.CSV
    return Syntax.JSON if base in _JSON_LINES_TYPES or is_json(base) else Syntax.TEXT


def is_text(content_type: str) -> bool:
    """Whether a body of this type is text, and so in UTF-8 unless a charset is stated."""
    return syntax_of(content_type) is not Syntax.TEXT or base_type(content_type).startswith("text/")


def not_utf8(body: bytes, content_type: str) -> str | None:
    """Why a body is not the text that its type says, and what to do; None if it is, or if the type is not text.

    Containers differ in what they make of such bytes: some replace them, and answer for another text.
    """
    if body.isascii() or not is_text(content_type):
        return None
    try:
        body.decode()
    except UnicodeDecodeError as error:
        return (
            f"is not UTF-8 (byte {error.start} is 0x{body[error.start]:02X}); state its charset in the content type, "
            f"such as {base_type(content_type)[:80]}; charset=iso-8859-1, or save it as UTF-8"
        )
    return None


def delimiter_of(content_type: str) -> bytes:
    """What separates the fields of a record of this type, unless something else is set: tabs, as pandas writes them."""
    return b"\t" if base_type(content_type) in _TSV_TYPES else b","


def states_syntax(content_type: str | None) -> bool:
    """Whether an answer's content type says how it is written, and is not only what a server sends by default."""
    return base_type(content_type or "") not in _UNSTATED


def holds_several(content_type: str) -> bool:
    """Whether the body of a request of this type may hold several records, one in each line."""
    return base_type(content_type) in {TEXT} | _CSV_TYPES | _TSV_TYPES | _JSON_LINES_TYPES


def is_json_lines(content_type: str) -> bool:
    """Whether the lines of a file of this type are JSON documents."""
    return base_type(content_type) in _JSON_LINES_TYPES


def is_json(content_type: str) -> bool:
    """Whether a body of this type is one JSON document."""
    return base_type(content_type).endswith(("/json", "+json"))
