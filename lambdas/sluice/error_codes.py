"""Every error code that Sluice itself makes, and the failure classes. `make errors` writes docs/errors.md from it."""

from enum import StrEnum
from typing import Self


class FailureClass(StrEnum):
    """The reason that a request failed for, in general, and with that, whether a retry can help."""

    description: str

    def __new__(cls, value: str, description: str) -> Self:
        """A class, with one sentence for docs/errors.md."""
        self = str.__new__(cls, value)
        self._value_ = value
        self.description = description
        return self

    INVALID = "invalid", "The request breaks a rule."
    EXPIRED = "expired", "The request's time to live was over before it was invoked."
    MODEL = "model", "The model refused the request, or failed on it."
    CAPACITY = "capacity", "The endpoint cannot take the request now."
    CONFIGURATION = "configuration", "A name, a permission or a credential is wrong, and can be corrected."
    TRANSIENT = "transient", "AWS or the network failed, or the error was not foreseen."
    CRASHED = "crashed", "The function ended without an outcome at each receive."

    @property
    def retryable(self) -> bool:
        """Whether the message goes back to its queue, rather than to the dead-letter queue at once."""
        return self in {FailureClass.CAPACITY, FailureClass.CONFIGURATION, FailureClass.TRANSIENT}


class ErrorCode(StrEnum):
    """An error code of Sluice's own: its failure class, and one sentence. All other codes are those of AWS."""

    failure_class: FailureClass
    description: str

    def __new__(cls, value: str, failure_class: FailureClass, description: str) -> Self:
        """A code, with its class and its sentence for docs/errors.md."""
        self = str.__new__(cls, value)
        self._value_ = value
        self.failure_class = failure_class
        self.description = description
        return self

    @property
    def reason(self) -> str:
        """The sentence in the style of an ErrorMessage: without a capital at its start and a period at its end.

        A name at its start, such as RequestTTLSeconds, stays as it is.
        """
        first, space, rest = self.description.removesuffix(".").partition(" ")
        return (first.lower() if first.istitle() else first) + space + rest

    INVALID_MESSAGE = (
        "InvalidMessage",
        FailureClass.INVALID,
        "The message, the dropped object or its metadata breaks a rule; ErrorMessage names the field and the rule.",
    )
    EXPIRED = (
        "Expired",
        FailureClass.EXPIRED,
        "RequestTTLSeconds had passed since the message was sent, so the endpoint was not invoked.",
    )
    MODEL_TIMEOUT = (
        "ModelTimeout",
        FailureClass.MODEL,
        "The container did not respond within the 60 seconds that SageMaker gives it.",
    )
    NO_RESPONSE = (
        "NoResponse",
        FailureClass.TRANSIENT,
        "The container gave SageMaker no response: it ended, or had no CPU time or memory left; its log says which.",
    )
    CRASHED = (
        "Crashed",
        FailureClass.CRASHED,
        "The function crashed, reached its timeout or ran out of memory at each receive; its log says which.",
    )
    NOT_BEGUN = (
        "NotBegun",
        FailureClass.TRANSIENT,
        "The function had less time left than one call may take; lower batch_size or raise timeouts.function_seconds.",
    )
    HELD_BACK = (
        "HeldBack",
        FailureClass.CAPACITY,
        "The endpoint refused the calls before this one, so it was not invoked; the log has the endpoint's own errors.",
    )
    UNDER_WAY = (
        "UnderWay",
        FailureClass.TRANSIENT,
        "Another delivery of the same request was processed in the same function, and it ended without a result.",
    )
    ANSWER_MISMATCH = (
        "AnswerMismatch",
        FailureClass.MODEL,
        "The response does not hold one answer for each record that was sent.",
    )
    NOTHING_ANSWERED = (
        "NothingAnswered",
        FailureClass.TRANSIENT,
        "The endpoint refused many records of a part of a file, and has not answered any record of the file yet.",
    )
    NO_RECORD_SUCCEEDED = (
        "NoRecordSucceeded",
        FailureClass.MODEL,
        "None of the file's records succeeded; .errors.jsonl has the reasons. A redrive sends them again.",
    )
    ERROR_THRESHOLD_EXCEEDED = (
        "ErrorThresholdExceeded",
        FailureClass.MODEL,
        "More of the file's records failed than its ErrorThreshold allows; .errors.jsonl has the reasons.",
    )
    ANSWER_NOT_JOINED = (
        "AnswerNotJoined",
        FailureClass.INVALID,
        "The answer of a record cannot be joined with it, or the OutputFilter finds nothing in the two.",
    )
    INVALID_RECORD = (
        "InvalidRecord",
        FailureClass.INVALID,
        "The record is not of the content type, or not a request of a batch, or the InputFilter finds nothing in it.",
    )
    OBJECT_DELETED = (
        "ObjectDeleted",
        FailureClass.INVALID,
        "The object was deleted before all of it was transformed; upload it again.",
    )
    RECORD_TOO_LONG = (
        "RecordTooLong",
        FailureClass.INVALID,
        "The record is over MaxPayload or over the deployment's max_body_bytes.",
    )


def render() -> str:
    """docs/errors.md."""
    lines = [
        "# Error codes",
        "",
        "The `ErrorCode` of an `.err`, a dead-letter message, a refused record and a log line is a code that AWS",
        "returned, such as `ModelError`, the name of an unforeseen Python exception, or one of the codes below.",
        "`make errors` writes this page from [error_codes.py](../lambdas/sluice/error_codes.py). The table that",
        "classifies what AWS returns is in [failures.py](../lambdas/sluice/failures.py).",
        "",
        "| code | class | meaning |",
        "| --- | --- | --- |",
        *(f"| `{code}` | {code.failure_class} | {code.description} |" for code in ErrorCode),
        "",
        "| class | what happens | meaning |",
        "| --- | --- | --- |",
        *(
            f"| {one} | {'retried with backoff' if one.retryable else 'dead-lettered at once'} | {one.description} |"
            for one in FailureClass
        ),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(render(), end="")  # noqa: T201 - its output is its purpose
