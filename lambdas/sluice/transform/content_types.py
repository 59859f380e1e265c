"""The content types that records and answers have."""

CSV = "text/csv"
JSON = "application/json"
JSON_LINES = "application/jsonlines"
_TEXT = "text/plain"
_JSON_LINES_TYPES = frozenset(
    {JSON_LINES, "application/jsonl", "application/x-jsonlines", "application/x-jsonl", "application/x-ndjson"}
)


def base_type(content_type: str) -> str:
    """A content type in lower case, without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def holds_several(content_type: str) -> bool:
    """Whether the body of a request of this type may hold several records, one in each line."""
    return base_type(content_type) in {CSV, _TEXT} | _JSON_LINES_TYPES


def is_json_lines(content_type: str) -> bool:
    """Whether the lines of a file of this type are JSON documents."""
    return base_type(content_type) in _JSON_LINES_TYPES


def is_json(content_type: str) -> bool:
    """Whether a body of this type is one JSON document."""
    return base_type(content_type).endswith(("/json", "+json"))
