"""A check of a string by a pattern, with an error in words."""

import re
from typing import LiteralString

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError


def matching(pattern: str, rule: LiteralString) -> AfterValidator:
    """Return a validator of strings that match the whole of `pattern`.

    `rule` completes "must be …" and gives an example: the error does not show the pattern.
    """
    compiled = re.compile(pattern, re.ASCII)

    def check(value: str) -> str:
        if compiled.fullmatch(value) is None:
            raise PydanticCustomError("matching", "must be " + rule)
        return value

    return AfterValidator(check)
