"""Answers as text in UTF-8, with the content type by which they are read."""

import re
from dataclasses import replace

from sluice.failures import Failure
from sluice.ports import Inference
from sluice.transform.content_types import base_type, charset_of, states_syntax, with_charset_utf8

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_HTML = "text/html"
_PAGE = re.compile(rb"\s*<(?:!doctype html|html)\b", re.IGNORECASE)


def in_utf8(inference: Inference) -> Inference:
    """An answer in UTF-8 without a byte order mark. It stays as it is if it is not in the charset that it states."""
    content_type = inference.content_type or ""
    try:
        charset = charset_of(content_type)
        if charset is not None:
            body = inference.body.decode(charset).encode()
            inference = replace(inference, body=body, content_type=with_charset_utf8(content_type))
    except (Failure, UnicodeError):
        return inference
    if not inference.body.startswith(_BYTE_ORDER_MARK):
        return inference
    return replace(inference, body=inference.body.removeprefix(_BYTE_ORDER_MARK))


def with_type(inference: Inference, unstated: str) -> Inference:
    """An answer with the content type `unstated` if its own is one that servers send by default.

    But a page of HTML is one: a proxy answers with it.
    """
    content_type = inference.content_type or ""
    is_page = base_type(content_type) == _HTML and _PAGE.match(inference.body) is not None
    return inference if states_syntax(content_type) or is_page else replace(inference, content_type=unstated)
