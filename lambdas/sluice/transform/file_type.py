"""What a file is: its content type, whether it is gzip, and whether it can be split into lines."""

import json
import re

from sluice.failures import invalid, quoted
from sluice.inputs.invocation import content_type_of, type_of_name
from sluice.inputs.message import Message
from sluice.ports import ObjectHead
from sluice.settings import Settings
from sluice.transform.content_types import (
    CSV,
    Syntax,
    base_type,
    canonical,
    charset_of,
    not_utf8,
    syntax_of,
    with_charset_utf8,
)
from sluice.transform.lines import BOM
from sluice.transform.options import Options

HEAD_BYTES = 64 * 1024  # of a file that are looked at
_GZIP = b"\x1f\x8b"
_GZIP_TYPES = frozenset({"application/gzip", "application/x-gzip", "application/gzip-compressed"})
_UNSTATED_TYPES = frozenset({"", "binary/octet-stream", "application/octet-stream"})  # neither has lines
_EXCEL = "application/vnd.ms-excel"  # what a browser calls a .csv on a computer with Excel

_SIGNATURES = {
    re.compile(signature): name
    for signature, name in (
        (rb"PK\x03\x04", "a zip archive or an Office document such as .xlsx"),
        (rb"\xd0\xcf\x11\xe0", "an Office document such as .xls"),
        (rb"\x89PNG", "a PNG image"),
        (rb"\xff\xd8\xff", "a JPEG image"),
        (rb"%PDF-[0-9]\.[0-9]", "a PDF"),
        (rb"Obj\x01", "Avro"),
        (rb"\x93NUMPY", "a NumPy array"),
        (rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)", "bzip2"),  # the beginning of its first block
        (rb"\xfd7zXZ", "xz"),
        (rb"\x28\xb5\x2f\xfd", "Zstandard"),
    )
}
_TEXT_SIGNATURES = {b"PAR1": "Parquet", b"ORC": "ORC", b"GIF8": "a GIF image"}  # a column may be called ORCID
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x19\x1c-\x1f]")  # characters that text does not have
_UTF16 = (b"\xff\xfe", b"\xfe\xff")  # byte order marks


def is_packed(key: str) -> bool:
    """Whether a file is gzip, by its name."""
    return key.lower().endswith(".gz")


def is_gzip(head: bytes) -> bool:
    """Whether a file that begins with `head` is gzip."""
    return head.startswith(_GZIP)


def type_of_file(message: Message, key: str, head: ObjectHead, settings: Settings) -> str:
    """The content type of a dataset, once it is unpacked.

    The file's metadata decides, then the object's own type, in which aliases of CSV and JSON Lines are replaced, then
    the key's suffix.
    """
    own = head.content_type or ""
    base = base_type(own)
    if base in _UNSTATED_TYPES | _GZIP_TYPES or (base == _EXCEL and type_of_name(key) == CSV):
        own = ""
    return content_type_of(message, settings, key, canonical(own))


def type_of_calls(content_type: str, options: Options) -> str:
    """The content type that is sent: a file that is split is sent in UTF-8."""
    return with_charset_utf8(content_type) if needs_transcoding(content_type, options) else content_type


def needs_transcoding(content_type: str, options: Options) -> bool:
    """Whether a file is not in UTF-8, so that it cannot be cut into lines as it is."""
    return options.split_type == "Line" and charset_of(content_type) is not None


def check_lines(head: bytes, content_type: str, *, is_whole: bool) -> None:
    """Raises `Failure` (invalid) for a file that has no lines of records. `head` is its beginning, or all of it."""
    for pattern, name in _SIGNATURES.items():
        if pattern.match(head):
            raise _no_lines(f"is {name}")
    for signature, name in _TEXT_SIGNATURES.items():
        if head.startswith(signature) and _CONTROL.search(head):
            raise _no_lines(f"is {name}")
    if head.startswith(_UTF16) or _looks_like_utf16(head):
        raise invalid(
            "file",
            "is UTF-16; save it as UTF-8, or set its metadata content-type to "
            f"{quoted(base_type(content_type))}; charset=utf-16",
        )
    if b"\0" in head:
        raise _no_lines(f"is binary: byte {head.index(0)} is NUL")
    _check_charset(head if is_whole else head[: head.rfind(b"\n") + 1], content_type)
    if syntax_of(content_type) is Syntax.JSON and _spans_lines(head, is_whole=is_whole):
        raise invalid(
            "file",
            "begins with a JSON document of several lines, and each line must be a document: convert it, as with "
            "jq --compact-output '.[]', or set the file's metadata split-type to None",
        )


def _check_charset(lines: bytes, content_type: str) -> None:
    """Raises `Failure` (invalid) for text in another charset, which the file must state.

    If some lines are in UTF-8, and not only in ASCII, so is the file, and the others are its bad records.
    """
    foreign = [(number, line) for number, line in enumerate(lines.splitlines(), 1) if not line.isascii()]
    reasons = [(number, not_utf8(line, content_type)) for number, line in foreign]
    if reasons and all(why is not None for _, why in reasons):
        number, why = reasons[0]
        raise invalid("file", f"line {number} {why}")


def _no_lines(what: str) -> Exception:
    return invalid(
        "file",
        f"{what}, and cannot be split into lines: set the file's metadata split-type to None, or convert it to CSV or "
        "JSON Lines",
    )


def _looks_like_utf16(head: bytes) -> bool:
    """Whether every other byte is NUL, as in Latin letters without a byte order mark."""
    pairs = head[: len(head) // 2 * 2]
    even, odd = pairs[::2], pairs[1::2]
    return len(even) >= 2 and any(not any(zeros) and all(letters) for zeros, letters in ((even, odd), (odd, even)))


def _spans_lines(head: bytes, *, is_whole: bool) -> bool:
    """Whether a JSON document begins in the first line and goes on after it.

    A first line that is cut off is no such document, if another begins in the second line, or in the line after what
    would complete it.
    """
    text = head.removeprefix(BOM).decode("latin-1").lstrip()
    if text[:1] not in {"{", "["}:
        return False
    line_end = text.find("\n")
    second = len(text) - len(text[line_end + 1 :].lstrip())
    if line_end < 0 or second == len(text):
        return False
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except RecursionError:
        return False
    except json.JSONDecodeError as error:
        if error.msg.startswith("Expecting ',' delimiter") and _begins_line(text, error.pos):
            return False
        return error.pos > second and not (is_whole and error.pos >= len(text.rstrip()))
    except ValueError:  # an integer has too many digits
        return False
    return end > line_end


def _begins_line(text: str, at: int) -> bool:
    """Whether there is something at `at`, and it is the first of its line."""
    return at < len(text) and not text[text.rfind("\n", 0, at) + 1 : at].strip()
