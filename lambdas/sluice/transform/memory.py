"""How much memory a part takes, from what it reads to what it stores."""

from sluice.concurrency import Semaphore
from sluice.processing.memory import Reservation

_BYTES_PER_BYTE = 4  # of a range: read, cut, sent, signed
_BYTES_PER_LINE = 480  # its position, its answer, and its error if it has one
_BYTES_PER_ANSWERED = 3  # of answers: as received, in lines, joined
ENOUGH_ANSWERED = 2 * 1024 * 1024  # bytes of answers that a part expects at once, and after which it requests no more


def needed(size: int, lines: int, answered: int) -> int:
    """The most bytes that a part of `size` bytes and at most `lines` lines takes, for `answered` bytes of answers."""
    return _BYTES_PER_BYTE * size + _BYTES_PER_LINE * min(lines, size) + _BYTES_PER_ANSWERED * answered


class AnswerMemory:
    """The memory for the answers of a part, which are received side by side.

    `reserved` bytes of answers are reserved already, and `reservation` holds them together with what else the part
    takes. Answers that exceed them are admitted one after another, so that memory is taken before they are read.
    """

    def __init__(self, reservation: Reservation, reserved: int) -> None:
        self._reservation = reservation
        self._reserved = reserved
        self._rest = reservation.size - _BYTES_PER_ANSWERED * reserved
        self._received = 0
        self._turn = Semaphore(1)  # waiting for memory is a state of the reservation

    @property
    def is_over(self) -> bool:
        """Whether the answers took memory that is not there: no further one is to be asked for."""
        return self._reservation.is_over

    async def admit(self, size: int) -> None:
        """Wait until there is memory for `size` more bytes of answers."""
        self._received += size
        if self._received <= self._reserved:
            return
        async with self._turn:
            await self._reservation.grow(self._rest + _BYTES_PER_ANSWERED * self._received)

    def withdraw(self, size: int) -> None:
        """Release what was admitted for an answer that did not come, or that is not kept."""
        self._received -= size
        self._reservation.shrink(self._rest + _BYTES_PER_ANSWERED * max(self._reserved, self._received))
