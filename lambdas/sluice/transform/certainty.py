"""What bisection asks about the answers of groups: whether they are certain."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from sluice.transform.answer_format import AnswerError

_T = TypeVar("_T")


class Paid(Protocol):
    """Makes a call, and counts it."""

    async def __call__(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """The result of the call. Raises what it raises."""


class Trust(Protocol):
    """Says which answers of groups are certain, and compares others with answers to records alone."""

    def doubts(self, answers: Sequence[bytes]) -> bool:
        """Whether the answers of a group are to be confirmed, although no other group had a wrong number of them."""

    async def confirm(
        self, group: Sequence[int], answers: Sequence[bytes], paid: Paid, *, is_suspect: bool
    ) -> tuple[bytes, bool]:
        """The answer to the last record of a group alone, and whether the answers to the others are certain, too.

        Raises `AnswerError` and `ServiceError` if the last record has no answer alone.
        """

    def check_alone(self, error: AnswerError, *, is_suspect: bool) -> None:
        """Raises what ends the run if the answer to a record alone shows that those of groups may be wrong."""
