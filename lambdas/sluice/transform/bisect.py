"""Calls for many records at once; where the model refuses them together, halves find those that it refuses alone."""

import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sluice.failures import Failure, FailureClass, ServiceError, classify
from sluice.transform.records import AnswerError

_PAUSES = (0.1, 0.3, 0.9)  # seconds
_EXTRA_CALLS = 32  # for each group of records, besides what bisecting it for a few needs
_PATIENCE = 8  # refusals in a row, over what finding one record among all takes, before it is the endpoint's trouble


class BudgetReached(Exception):
    """As many answers, or refusals, are in memory as may be."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that has no answer, and why."""

    failure: Failure


@dataclass(slots=True)
class Calls:
    """What is called for a part's records: answers and refusals by index, and how many calls it took.

    `call` sends the records of those indices together and returns an answer for each. It raises what the failure table
    classifies, or `AnswerError`. With `enough_bytes` of answers or `enough_refused` records refused, it calls no more.
    """

    call: Callable[[Sequence[int]], Sequence[bytes]]
    sleep: Callable[[float], None] = time.sleep
    enough_bytes: int = sys.maxsize
    enough_refused: int = sys.maxsize
    answers: dict[int, bytes] = field(default_factory=dict)
    refused: dict[int, Refused] = field(default_factory=dict)
    made: int = 0
    kept_bytes: int = 0
    _in_vain: int = 0

    def run(self, groups: Iterable[Sequence[int]]) -> None:
        """Answer every record of `groups`, none of which is empty, or refuse it.

        Raises the first `Failure` that isn't the records' own: capacity, configuration, transient, or a refusal of
        everything, which is the endpoint's trouble. Raises `BudgetReached` when there is enough with some left.
        """
        every = 0
        for group in groups:
            every += len(group)
            budget = _EXTRA_CALLS + 8 * max(1, math.ceil(math.log2(len(group))))
            self._answer(list(group), [budget])
        if every > 1 and len(self.refused) == every:
            raise next(iter(self.refused.values())).failure

    def _answer(self, group: list[int], left: list[int]) -> None:
        """`left` holds how many more calls may be made for the group that this is a part of."""
        try:
            found = self._call(group)
        except (ServiceError, AnswerError) as error:
            failure = _record_failure(error, len(group))
        else:
            self.answers.update(zip(group, found, strict=True))
            self.kept_bytes += sum(map(len, found))
            self._in_vain = 0
            return
        self._in_vain += 1
        if not self.answers and self._in_vain > _PATIENCE + 2 * math.ceil(math.log2(len(group) + 1)) and len(group) > 1:
            raise failure
        if len(group) == 1:
            self.refused[group[0]] = Refused(failure)
            return
        if left[0] <= 0:
            alone = f"{failure.message} (not told apart from {len(group) - 1} others: too many records are refused)"
            self.refused.update(dict.fromkeys(group, Refused(_renamed(failure, alone))))
            return
        left[0] -= 2
        middle = len(group) // 2
        self._answer(group[:middle], left)
        self._answer(group[middle:], left)

    def _call(self, group: list[int]) -> Sequence[bytes]:
        """Call, and again after a pause where that can help and other calls of this part have been paid for."""
        if self.kept_bytes > self.enough_bytes or len(self.refused) >= self.enough_refused:
            raise BudgetReached
        for pause in _PAUSES:
            try:
                return self._counted(group)
            except ServiceError as error:
                if self.made == 1 or not classify(error).failure_class.retryable:
                    raise
                self.sleep(pause)
        return self._counted(group)

    def _counted(self, group: list[int]) -> Sequence[bytes]:
        """Call, and count it unless it could not be begun."""
        try:
            found = self.call(group)
        except (ServiceError, AnswerError):
            self.made += 1
            raise
        self.made += 1
        return found


def _record_failure(error: ServiceError | AnswerError, count: int) -> Failure:
    """The failure when it may be some records' own; raised when it can't be."""
    if isinstance(error, AnswerError):
        return Failure(FailureClass.MODEL, "AnswerMismatch", str(error))
    failure = classify(error)
    # Over the endpoint's payload, as a whole: smaller groups may pass.
    too_large = failure.failure_class is FailureClass.INVALID and count > 1
    if failure.failure_class is FailureClass.MODEL or too_large:
        return failure
    raise error


def _renamed(failure: Failure, message: str) -> Failure:
    return Failure(
        failure.failure_class,
        failure.code,
        message,
        original_status_code=failure.original_status_code,
        original_message=failure.original_message,
        log_stream_arn=failure.log_stream_arn,
    )
