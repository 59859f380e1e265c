"""What a refusal of records that were sent together says of each of them."""

from dataclasses import dataclass

from sluice.error_codes import ErrorCode, FailureClass
from sluice.failures import Failure, ServiceError, classify
from sluice.transform.answer_format import AnswerError


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a group was refused. `is_suspect` means that the container answered with another number of answers.

    `answered` is the most records of the group that were answered together since; `sys.maxsize` if some of its records
    were sent alone, so that nothing is known of a size that is too large.
    """

    failure: Failure
    is_suspect: bool
    answered: int = 0


def is_of_a_record(failure: Failure) -> bool:
    """Whether a group was refused for one of its records, rather than for its size or for how it was answered."""
    return failure.failure_class is FailureClass.MODEL and failure.code not in {
        ErrorCode.MODEL_TIMEOUT,
        ErrorCode.ANSWER_MISMATCH,
    }


def record_failure(error: ServiceError | AnswerError) -> Failure:
    """The failure, when it may be that of single records; otherwise raises `error`."""
    if isinstance(error, AnswerError):
        return Failure.of(ErrorCode.ANSWER_MISMATCH, str(error))
    failure = classify(error)
    # InvokeEndpoint finds a request invalid, for example, when it is over the endpoint's payload limit: smaller groups
    # may pass, and so may other records. What is retried a few times is then some record's, too: one that ends the
    # model's process must not cost the file.
    if failure.of_endpoint and (error.of_record or not failure.is_retried(error.receive_count)):
        return failure
    raise error
