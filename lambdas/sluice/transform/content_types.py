"""The content types that records and answers have."""

from enum import Enum

CSV = "text/csv"
JSON_LINES = "application/jsonlines"
TEXT = "text/plain"
_CSV_TYPES = frozenset({CSV, "application/csv", "text/comma-separated-values", "text/x-csv", "application/x-csv"})
_JSON_LINES_TYPES = frozenset(
    {
        *(JSON_LINES, "application/jsonl", "application/x-jsonlines", "application/x-jsonl"),
        *("application/x-ndjson", "application/ndjson"),
    }
)
_UNSTATED = frozenset({"", "application/octet-stream", "binary/octet-stream", "text/html"})  # what servers default to


class Syntax(Enum):
    """How the records of a content type are written."""

    CSV = "CSV"
    JSON = "JSON"
    TEXT = "text"


def base_type(content_type: str) -> str:
    """A content type in lower case, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def syntax_of(content_type: str) -> Syntax:
    """How a record of this type is written: JSON Lines, and each document of a JSON type, is JSON."""
    base = base_type(content_type)
    if base in _CSV_TYPES:
        return Syntax.CSV
    return Syntax.JSON if base in _JSON_LINES_TYPES or is_json(base) else Syntax.TEXT


def states_syntax(content_type: str | None) -> bool:
    """Whether an answer's content type says how it is written, and is not only what a server sends by default."""
    return base_type(content_type or "") not in _UNSTATED


def holds_several(content_type: str) -> bool:
    """Whether the body of a request of this type may hold several records, one in each line."""
    return base_type(content_type) in {TEXT} | _CSV_TYPES | _JSON_LINES_TYPES


def is_json(content_type: str) -> bool:
    """Whether a body of this type is one JSON document."""
    return base_type(content_type).endswith(("/json", "+json"))
