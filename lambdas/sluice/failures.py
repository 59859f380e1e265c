"""The failure table: it classifies every error, and the class decides what happens to the message.

The rows come from the InvokeEndpoint API page, botocore's `sagemaker-runtime` model (bc), the S3 error codes and
messages of SageMaker that were observed. The first row that matches applies.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from sluice.error_codes import ErrorCode, FailureClass

MAX_TEXT = 16 * 1024  # characters of an error's text: a stack trace; a model may answer with megabytes of them
_SURROGATE = re.compile("[\ud800-\udfff]")  # they have no UTF-8, so that neither a log line nor an object can hold them


class Operation(StrEnum):
    """The AWS call that failed, as far as the table distinguishes calls."""

    INVOKE = "InvokeEndpoint"
    READ_INPUT = "GetObject of the input"
    STORE_RESULT = "PutObject of the result"
    DEAD_LETTER = "SendMessage to the dead-letter queue"
    DELAY = "ChangeMessageVisibility"
    SEND_PARTS = "SendMessage of a file's parts"
    READ_RESULT = "GetObject of the result"
    NOTIFY = "Publish to the topic"


class ServiceError(Exception):
    """An AWS call that failed. The adapters raise it, and the table classifies it. Its texts are cut to `MAX_TEXT`.

    When it is `private`, only the table may use its text: a model's message may quote its input.
    """

    def __init__(
        self,
        operation: Operation,
        code: str,
        message: str,
        *,
        status: int | None = None,
        original_status_code: int | None = None,
        original_message: str | None = None,
        log_stream_arn: str | None = None,
        private: bool = False,
    ) -> None:
        message = bounded_text(message)
        super().__init__(f"{operation}: {code}: {message}")
        self.operation = operation
        self.code = code
        self.message = message
        self.status = status
        self.original_status_code = original_status_code
        self.original_message = None if original_message is None else bounded_text(original_message)
        self.log_stream_arn = log_stream_arn
        self.private = private


def bounded_text(text: str) -> str:
    """At most `MAX_TEXT` characters of `text`, which is then searched and stored; `…` marks a cut."""
    cut = text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"
    return _SURROGATE.sub("�", cut)


class Failure(Exception):
    """A classified failure, which decides where the message goes. The rules raise it, and `classify` returns it.

    `of_endpoint` says that InvokeEndpoint failed, and nothing else that the request needed.
    """

    def __init__(
        self,
        failure_class: FailureClass,
        code: str,
        message: str,
        *,
        original_status_code: int | None = None,
        original_message: str | None = None,
        log_stream_arn: str | None = None,
        of_endpoint: bool = False,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.failure_class = failure_class
        self.code = code
        self.message = message
        self.original_status_code = original_status_code
        self.original_message = original_message
        self.log_stream_arn = log_stream_arn
        self.of_endpoint = of_endpoint

    @classmethod
    def of(cls, code: ErrorCode, message: str | None = None) -> "Failure":
        """A failure that Sluice itself finds. The default `message` is the code's own reason."""
        return cls(code.failure_class, code, message or code.reason)


def invalid(field: str, rule: str) -> Failure:
    """The failure of a message that breaks a rule: it names the field, and what to do."""
    return Failure.of(ErrorCode.INVALID_MESSAGE, f"{field}: {rule}")


@dataclass(frozen=True, slots=True)
class Row:
    """One row. A criterion that is None matches anything; `code` renames the error in the reason."""

    failure_class: FailureClass
    operations: Collection[Operation] | None = None
    codes: Collection[str] | None = None
    statuses: Collection[int] | None = None
    original_statuses: Collection[int | None] | None = None
    message: re.Pattern[str] | None = None
    code: str | None = None

    def matches(self, error: ServiceError) -> bool:
        """Whether every criterion of this row holds for `error`."""
        return (
            (self.operations is None or error.operation in self.operations)
            and (self.codes is None or error.code in self.codes)
            and (self.statuses is None or error.status in self.statuses)
            and (self.original_statuses is None or error.original_status_code in self.original_statuses)
            and (self.message is None or self.message.search(error.message) is not None)
        )


_INVOKE = (Operation.INVOKE,)
_INPUT = (Operation.READ_INPUT,)
_MODEL_ERROR = ("ModelError",)
_VALIDATION = ("ValidationError", "ValidationException")
_TIME_OUT = re.compile(r"tim(ed|e)[ -]?out", re.IGNORECASE)

TABLE: tuple[Row, ...] = (
    # The container's 60 s are over: SageMaker reports status 0. A retry pays for the same minute again.
    Row(FailureClass.MODEL, _INVOKE, _MODEL_ERROR, original_statuses=(0,), code=ErrorCode.MODEL_TIMEOUT),
    Row(
        FailureClass.MODEL,
        _INVOKE,
        _MODEL_ERROR,
        original_statuses=(None, *range(500, 600)),
        message=_TIME_OUT,
        code=ErrorCode.MODEL_TIMEOUT,
    ),
    # A model server that responds "too many requests" or "unavailable" can take the request later.
    Row(FailureClass.CAPACITY, _INVOKE, _MODEL_ERROR, original_statuses=(429, 503)),
    Row(FailureClass.MODEL, _INVOKE, _MODEL_ERROR),
    # The response of an inference component that is scaled to zero. The call itself triggers the scale-out.
    Row(
        FailureClass.CAPACITY,
        _INVOKE,
        _VALIDATION,
        message=re.compile(r"no capacity to process", re.IGNORECASE),
    ),
    # One typo in the settings must not empty the queue into the dead-letter queue.
    Row(
        FailureClass.CONFIGURATION,
        _INVOKE,
        _VALIDATION,
        message=re.compile(r"^endpoint\b.*\bnot found|could not find endpoint", re.IGNORECASE | re.DOTALL),
    ),
    Row(FailureClass.INVALID, _INVOKE, _VALIDATION),
    # botocore refused the parameters before any call was made; or the body is over the endpoint's own limit (413).
    Row(FailureClass.INVALID, _INVOKE, ("ParamValidationError",)),
    Row(FailureClass.INVALID, _INVOKE, statuses=(413,)),
    Row(
        FailureClass.CAPACITY,
        _INVOKE,
        (
            "ModelNotReadyException",
            "ServiceUnavailable",
            "ServiceUnavailableException",
            "Throttling",
            "ThrottlingException",
            "ThrottledException",
            "TooManyRequestsException",
        ),
    ),
    Row(FailureClass.CAPACITY, _INVOKE, statuses=(429, 503)),
    # S3 responds 404 for a missing object only to a role with ListBucket, which the functions' roles have. 403
    # InvalidObjectState: the object is archived, and no retry restores it.
    Row(FailureClass.INVALID, _INPUT, ("NoSuchKey", "NoSuchBucket", "NoSuchVersion", "InvalidObjectState")),
    Row(FailureClass.INVALID, _INPUT, statuses=(404,)),
    # Roles, keys and settings can be corrected, and the call permitted later.
    Row(
        FailureClass.CONFIGURATION,
        codes=(
            "AccessDenied",
            "AccessDeniedException",
            "ExpiredToken",
            "ExpiredTokenException",
            "IncompleteSignature",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "NoCredentialsError",
            "NotAuthorized",
            "OptInRequired",
            "PermanentRedirect",
            "RequestExpired",
            "SignatureDoesNotMatch",
            "UnrecognizedClientException",
        ),
    ),
    Row(FailureClass.CONFIGURATION, statuses=(301, 401, 403)),
    Row(FailureClass.CONFIGURATION, (Operation.STORE_RESULT,), ("NoSuchBucket",)),
    # InternalFailure 500, InternalDependencyException 530, timeouts, S3 5xx and SlowDown, anything unforeseen.
    Row(FailureClass.TRANSIENT),
)


def classify(error: Exception) -> Failure:
    """The failure that `error` is.

    A `Failure` is itself; a `ServiceError` is looked up in `TABLE`; anything else is unforeseen, and so transient.
    """
    if isinstance(error, Failure):
        return error
    if not isinstance(error, ServiceError):
        # Not its text: that of a KeyError, for example, is content of the request.
        return Failure(FailureClass.TRANSIENT, type(error).__name__, f"not foreseen; raised {_place(error)}")
    row = next(row for row in TABLE if row.matches(error))
    return Failure(
        row.failure_class,
        row.code or error.code,
        "the model's message is not kept: model_messages is false" if error.private else error.message,
        original_status_code=error.original_status_code,
        original_message=None if error.private else error.original_message,
        log_stream_arn=error.log_stream_arn,
        of_endpoint=error.operation is Operation.INVOKE,
    )


def _place(error: Exception) -> str:
    """Where an error was raised: the file and the line."""
    traceback = error.__traceback__
    if traceback is None:
        return "outside of the function"
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    file = traceback.tb_frame.f_code.co_filename.replace("\\", "/").rpartition("/")[2]
    return f"in {file}, line {traceback.tb_lineno}"
