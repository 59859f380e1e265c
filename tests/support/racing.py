"""An S3 client between whose calls something happens."""

from collections.abc import Callable
from typing import Any

OPERATIONS = {"head_object", "get_object", "get_object_tagging", "put_object_tagging", "list_objects_v2"}


class Racing:
    """Wraps an S3 client: `happens` is called once, before the call number `before`. Errors are raised by operation."""

    def __init__(
        self,
        s3: Any,
        before: int = 0,
        happens: Callable[[], None] = lambda: None,
        *,
        errors: dict[str, Exception] | None = None,
    ) -> None:
        self._s3 = s3
        self._before = before
        self._happens = happens
        self._errors = errors or {}
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._s3, name)
        if name not in OPERATIONS:
            return operation

        def call(**arguments: Any) -> Any:
            self.calls.append(name)
            if len(self.calls) == self._before:
                self._happens()
            if name in self._errors:
                raise self._errors[name]
            return operation(**arguments)

        return call
