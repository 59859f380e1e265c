"""Translates botocore's errors into `ServiceError`."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from sluice.failures import Operation, ServiceError


@contextmanager
def translate_errors(operation: Operation, *, private: Collection[str] = ()) -> Iterator[None]:
    """Raise `ServiceError` for any error of botocore. Its message is private if its code is in `private`."""
    try:
        yield
    except ClientError as error:
        raise _service_error(operation, error, private) from error
    except BotoCoreError as error:
        raise ServiceError(operation, type(error).__name__, str(error)) from error


def status_of(error: ClientError) -> int | None:
    """The HTTP status of an error response, or None if the response has none."""
    status: int | None = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


def _service_error(operation: Operation, error: ClientError, private: Collection[str]) -> ServiceError:
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
    )
