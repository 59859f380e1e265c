"""Translates botocore's errors into `ServiceError`."""

from collections.abc import Collection, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from sluice.failures import ModelRetry, Operation, ServiceError

_NO_RETRY = ModelRetry()


class translate_errors:  # noqa: N801 - a context manager, as `contextlib.suppress`; a generator takes thrice the time
    """Raise `ServiceError` for any error of botocore. Its message is private if its code is in `private`."""

    __slots__ = ("_model_retry", "_operation", "_private")

    def __init__(
        self, operation: Operation, *, private: Collection[str] = (), model_retry: ModelRetry = _NO_RETRY
    ) -> None:
        self._operation = operation
        self._private = private
        self._model_retry = model_retry

    def __enter__(self) -> None:
        """Enter the block."""

    def __exit__(self, _: object, error: BaseException | None, _traceback: object) -> None:
        """Raise `ServiceError` from botocore's error."""
        if isinstance(error, ClientError):
            raise _service_error(self._operation, error, self._private, self._model_retry) from error
        if isinstance(error, BotoCoreError):
            raise ServiceError(self._operation, type(error).__name__, str(error)) from error


def status_of(error: ClientError) -> int | None:
    """The HTTP status of an error response, or None if the response has none."""
    status: int | None = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


def _service_error(
    operation: Operation, error: ClientError, private: Collection[str], model_retry: ModelRetry
) -> ServiceError:
    response: Mapping[str, Any] = error.response
    detail = response.get("Error", {})
    code = detail.get("Code", "Unknown")
    return ServiceError(
        operation,
        code,
        detail.get("Message") or response.get("Message") or str(error),
        status=status_of(error),
        original_status_code=response.get("OriginalStatusCode"),
        original_message=response.get("OriginalMessage"),
        log_stream_arn=response.get("LogStreamArn"),
        private=code in private,
        model_retry=model_retry,
    )
