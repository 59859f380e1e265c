"""Which answers of groups are certain. Others are compared with the answers to some of their records alone."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sluice.concurrency import Semaphore
from sluice.failures import ServiceError
from sluice.ports import Inference
from sluice.transform.answer_format import NONE, AnswerError, AnswerFormat
from sluice.transform.certainty import Paid
from sluice.transform.evidence import all_equal, are_equal, format_of, in_no_order
from sluice.transform.part_calls import PartCalls
from sluice.transform.refusal import record_failure
from sluice.transform.work import Work


class FormatRefuted(Exception):
    """A container has answered in a way that shows that the format is wrong that a probe has found; the text says how.

    Any answer of a group may then be that of another record.
    """


@dataclass(slots=True)
class GroupTrust:
    """Confirms the answers of groups. `ordered` stores the format whose order is certain."""

    work: Work
    asking: PartCalls
    ordered: Callable[[AnswerFormat], Awaitable[None]]
    is_refuted: bool = False  # whether the format was found to be wrong, also if the run has ended for another reason
    _turn: Semaphore = field(default_factory=lambda: Semaphore(1))

    @property
    def _format(self) -> AnswerFormat:
        return self.work.answer_format or NONE

    def doubts(self, answers: Sequence[bytes]) -> bool:
        """Whether the answers of a group are to be confirmed, because they differ and may be in any order."""
        return not self._format.is_ordered and not all_equal(answers)

    def check_alone(self, error: AnswerError, *, is_suspect: bool) -> None:
        """Raises `FormatRefuted` if a record alone has another number of answers than one.

        A container may have no content for a single record that it cannot process. That alone is only its own failure.
        """
        found = error.found
        if self._format.is_found and found is not None and (found > 0 or is_suspect or not error.is_blank):
            self._refute(f"a record alone has {found} answers in the AnswerFormat {self._format}")

    async def confirm(
        self, group: Sequence[int], answers: Sequence[bytes], paid: Paid, *, is_suspect: bool
    ) -> tuple[bytes, bool]:
        """The answer to the last record of a group alone, and whether the answers to the others are certain, too.

        Raises `AnswerError` and `ServiceError` if the last record has no answer alone, and `FormatRefuted`.
        """
        divided_by = self._format
        inference, last = await self._alone(group[-1], paid, is_suspect=is_suspect)
        if not are_equal(last, answers[-1]):
            self._refute()
            return last, False
        other = next((at for at, one in enumerate(answers) if not are_equal(one, last)), None)
        if divided_by.is_ordered or other is None:
            return last, True
        async with self._turn:
            if self._format.is_ordered:
                return last, True
            try:
                unlike, answer = await self._alone(group[other], paid, is_suspect=is_suspect)
                if not are_equal(answer, answers[other]):
                    self._refute()
                    return last, False
                return last, await self._show_order({group[-1]: inference, group[other]: unlike}, paid)
            except (AnswerError, ServiceError) as error:
                record_failure(error)  # raises it, unless it is that of the records
                return last, False

    async def _show_order(self, alone: Mapping[int, Inference], paid: Paid) -> bool:
        """Whether two records with different answers are answered together in their order."""
        divided_by = self._format
        row = in_no_order(*alone)
        together = await paid(lambda: self.asking.ask(row))
        found = format_of([alone[index] for index in row], together)
        if (found.kind, found.fields) != (divided_by.kind, divided_by.fields) or not found.is_ordered:
            self._refute()
            return False
        types = divided_by.content_types | found.content_types
        self.work.answer_format = replace(divided_by, content_types=types, is_ordered=True)
        await self.ordered(self.work.answer_format)
        return True

    async def _alone(self, index: int, paid: Paid, *, is_suspect: bool) -> tuple[Inference, bytes]:
        """The answer to a record alone, as it came and as a line."""
        inference = self.asking.alone.get(index)
        if inference is None:
            inference = await paid(lambda: self.asking.ask([index]))
        self.asking.keep_alone(index, inference)
        try:
            (line,) = self._format.divide(inference.body, inference.content_type, 1)
        except AnswerError as error:
            self.check_alone(error, is_suspect=is_suspect)
            raise
        return inference, line

    def _refute(self, why: str = "records have other answers together than alone") -> None:
        """Raises `FormatRefuted`, unless the format is one that is set."""
        if self._format.is_found:
            self.is_refuted = True
            raise FormatRefuted(why)
