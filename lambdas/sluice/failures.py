"""The failure table: it classifies every error, and the class decides what happens to the message.

The rows come from the InvokeEndpoint API page, botocore's `sagemaker-runtime` model (bc), the S3 error codes and
messages of SageMaker that were observed. The first row that matches applies.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from sluice import service_words as words
from sluice.error_codes import ErrorCode, FailureClass

MAX_QUOTE = 80  # characters of a sender's text that a reason quotes, after the field and the rule
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


@dataclass(frozen=True, slots=True)
class ModelRetry:
    """Which of a model's errors are retried, and how often: a setting of the deployment.

    `statuses` are those of the container. `attempts` are the receives that a message gets before such an error
    dead-letters it, also where the table itself says that a retry may help for a while.
    """

    statuses: Collection[int] = ()
    attempts: int = 6


class ServiceError(Exception):
    """An AWS call that failed. The adapters raise it, and the table classifies it. Its texts are cut to `MAX_TEXT`.

    When it is `private`, only the table may use its text: a model's message may quote its input. `receive_count` is
    that of the message, where the caller states it; and `of_record` that it is the failure of what was sent.
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
        model_retry: ModelRetry = ModelRetry(),
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
        self.model_retry = model_retry
        self.receive_count = 1
        self.of_record = False


def quoted(text: str) -> str:
    """What a reason says of a sender's text: at most `MAX_QUOTE` characters of it, in one line.

    A reason names the field and the rule first. Some stores cut it, and the rule must not be what is cut off.
    """
    cut = text if len(text) <= MAX_QUOTE else text[:MAX_QUOTE] + "…"
    return "".join(character if character.isprintable() else "�" for character in cut)


def bounded_text(text: str) -> str:
    """At most `MAX_TEXT` characters of `text`, which is then searched and stored; `…` marks a cut."""
    cut = text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…"
    return _SURROGATE.sub("�", cut)


class Failure(Exception):
    """A classified failure, which decides where the message goes. The rules raise it, and `classify` returns it.

    `of_endpoint` says that InvokeEndpoint failed, and nothing else that the request needed. `attempts` are the receives
    after which the message is dead-lettered; None leaves that to the class.
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
        attempts: int | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.failure_class = failure_class
        self.code = code
        self.message = message
        self.original_status_code = original_status_code
        self.original_message = original_message
        self.log_stream_arn = log_stream_arn
        self.of_endpoint = of_endpoint
        self.attempts = attempts

    def is_retried(self, receive_count: int) -> bool:
        """Whether the message goes back to its queue after this receive, if that is not its last one."""
        return self.failure_class.retryable if self.attempts is None else receive_count < self.attempts

    @classmethod
    def of(cls, code: ErrorCode, message: str | None = None) -> "Failure":
        """A failure that Sluice itself finds. The default `message` is the code's own reason."""
        return cls(code.failure_class, code, message or code.reason)


def invalid(field: str, rule: str) -> Failure:
    """The failure of a message that breaks a rule: it names the field, and what to do."""
    return Failure.of(ErrorCode.INVALID_MESSAGE, f"{field}: {rule}")


@dataclass(frozen=True, slots=True)
class Row:
    """One row. A criterion that is None matches anything.

    `message` is searched for in the service's text and in the model's own. `code` renames the error in the reason, and
    `advice` is added to the reason's text. An error that `is_bounded` gets the deployment's `ModelRetry.attempts`.
    """

    failure_class: FailureClass
    operations: Collection[Operation] | None = None
    codes: Collection[str] | None = None
    statuses: Collection[int] | None = None
    original_statuses: Collection[int | None] | None = None
    message: re.Pattern[str] | None = None
    code: str | None = None
    advice: str | None = None
    is_bounded: bool = False

    def matches(self, error: ServiceError) -> bool:
        """Whether every criterion of this row holds for `error`."""
        return (
            (self.operations is None or error.operation in self.operations)
            and (self.codes is None or error.code in self.codes)
            and (self.statuses is None or error.status in self.statuses)
            and (self.original_statuses is None or error.original_status_code in self.original_statuses)
            and (self.message is None or any(map(self.message.search, (error.message, error.original_message or ""))))
        )


_INVOKE = (Operation.INVOKE,)
_INPUT = (Operation.READ_INPUT,)
_QUEUES = (Operation.DEAD_LETTER, Operation.DELAY, Operation.SEND_PARTS, Operation.NOTIFY)
_MODEL_ERROR = ("ModelError",)
_VALIDATION = ("ValidationError", "ValidationException")

TABLE: tuple[Row, ...] = (
    # The container's 60 s are over: SageMaker reports status 0. A retry pays for the same minute again.
    Row(
        FailureClass.MODEL,
        _INVOKE,
        _MODEL_ERROR,
        original_statuses=(0, None),
        message=words.TIMED_OUT,
        code=ErrorCode.MODEL_TIMEOUT,
    ),
    # Status 0 with other words, or with none: no CPU time or memory was left, or the container's process ended. An
    # overload passes; a request that ends the process does so at each attempt.
    Row(
        FailureClass.TRANSIENT,
        _INVOKE,
        _MODEL_ERROR,
        original_statuses=(0,),
        code=ErrorCode.NO_RESPONSE,
        is_bounded=True,
    ),
    # 502: a proxy in the container got no response from the server behind it, which may be starting again. 507: no
    # memory was left, for which SageMaker unloads other models, or which one large request used up. `service_words` has
    # the source of each.
    Row(FailureClass.TRANSIENT, _INVOKE, _MODEL_ERROR, original_statuses=(502, 507), is_bounded=True),
    Row(
        FailureClass.TRANSIENT,
        _INVOKE,
        _MODEL_ERROR,
        original_statuses=range(500, 600),
        message=words.WORKER_DIED,
        is_bounded=True,
    ),
    # A model server that responds "too many requests" or "unavailable" can take the request later.
    Row(FailureClass.MODEL, _INVOKE, _MODEL_ERROR, original_statuses=(503,), message=words.HANDLER_FAILED),
    Row(FailureClass.CAPACITY, _INVOKE, _MODEL_ERROR, original_statuses=(429, 503)),
    # 504 too: the proxy's patience is over, and a retry takes as long. `model_retry` retries what a deployment names.
    Row(FailureClass.MODEL, _INVOKE, _MODEL_ERROR),
    # The response of an inference component that is scaled to zero. The call itself triggers the scale-out.
    Row(FailureClass.CAPACITY, _INVOKE, _VALIDATION, message=words.NO_CAPACITY),
    # One typo in the settings must not empty the queue into the dead-letter queue.
    Row(FailureClass.CONFIGURATION, _INVOKE, _VALIDATION, message=words.ENDPOINT_NOT_FOUND),
    Row(
        FailureClass.CONFIGURATION,
        _INVOKE,
        _VALIDATION,
        message=words.COMPONENT_MISSING,
        advice="set InferenceComponentName (of a dropped object: the metadata inference-component-name)",
    ),
    Row(FailureClass.INVALID, _INVOKE, _VALIDATION),
    # botocore refused the parameters before any call was made; or the body is over the endpoint's own limit (413).
    Row(FailureClass.INVALID, _INVOKE, ("ParamValidationError",)),
    Row(FailureClass.INVALID, _INVOKE, statuses=(413,)),
    Row(FailureClass.CAPACITY, _INVOKE, words.CAPACITY),
    Row(FailureClass.CAPACITY, _INVOKE, statuses=(429, 503)),
    # S3 responds 404 for a missing object only to a role with ListBucket, which the functions' roles have. 403
    # InvalidObjectState: the object is archived, and no retry restores it.
    Row(FailureClass.INVALID, _INPUT, ("NoSuchKey", "NoSuchBucket", "NoSuchVersion", "InvalidObjectState")),
    Row(FailureClass.INVALID, _INPUT, statuses=(404,)),
    Row(
        FailureClass.INVALID,
        _INPUT,
        ("InvalidRequest",),
        message=words.CUSTOMER_KEY,
        advice="it is encrypted with a key of the sender's (SSE-C); store it without one, or with SSE-S3 or SSE-KMS",
    ),
    # SQS throttles with 403. A key of KMS is throttled for all that use it.
    Row(FailureClass.TRANSIENT, (*_QUEUES, Operation.STORE_RESULT, Operation.READ_INPUT), words.THROTTLED),
    # Roles, keys and settings can be corrected, and the call permitted later.
    Row(FailureClass.CONFIGURATION, codes=words.KMS_KEY, advice="see the key of the bucket, queue or topic in KMS"),
    Row(FailureClass.CONFIGURATION, codes=words.NOT_ALLOWED),
    Row(FailureClass.CONFIGURATION, statuses=(301, 401, 403)),
    # What the stack made is gone: `sluice doctor` names it, and a deployment makes it again.
    Row(FailureClass.CONFIGURATION, (Operation.STORE_RESULT,), ("NoSuchBucket",)),
    Row(
        FailureClass.CONFIGURATION,
        _QUEUES,
        words.GONE,
    ),
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
        _reason(row, error),
        original_status_code=error.original_status_code,
        original_message=None if error.private else error.original_message,
        log_stream_arn=error.log_stream_arn,
        of_endpoint=error.operation is Operation.INVOKE,
        attempts=error.model_retry.attempts if row.is_bounded or _is_named(error, row) else None,
    )


def _is_named(error: ServiceError, row: Row) -> bool:
    """Whether the deployment retries what the model would otherwise be dead-lettered for."""
    return row.failure_class is FailureClass.MODEL and error.original_status_code in error.model_retry.statuses


def _reason(row: Row, error: ServiceError) -> str:
    if error.private:
        return "the model's message is not kept: model_messages is false"
    return error.message if row.advice is None else f"{error.message}; {row.advice}"


def _place(error: Exception) -> str:
    """Where an error was raised: the file and the line."""
    traceback = error.__traceback__
    if traceback is None:
        return "outside of the function"
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    file = traceback.tb_frame.f_code.co_filename.replace("\\", "/").rpartition("/")[2]
    return f"in {file}, line {traceback.tb_lineno}"
