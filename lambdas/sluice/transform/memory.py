"""How much memory a part takes, from what it reads to what it stores."""

_BYTES_PER_BYTE = 4  # of a range: read, cut, sent, signed
_BYTES_PER_LINE = 480  # its position, its answer, and its error if it has one
_BYTES_PER_ANSWERED = 3  # of answers: as received, in lines, joined
ENOUGH_ANSWERED = 2 * 1024 * 1024  # bytes of answers that a part requests at once, and after which it requests no more
_PROBE = 4 * 1024  # bytes that are sent at once before the size of an endpoint's answers is known


def needed(size: int, lines: int, answered: int) -> int:
    """The most bytes that a part of `size` bytes and at most `lines` lines takes, for `answered` bytes of answers."""
    return _BYTES_PER_BYTE * size + _BYTES_PER_LINE * min(lines, size) + _BYTES_PER_ANSWERED * answered


class ResponseSizeRatio:
    """The bytes that an endpoint answers for each byte sent: the maximum observed for each endpoint."""

    def __init__(self) -> None:
        self._ratios: dict[str, float] = {}

    def learn(self, endpoint_name: str, sent: int, answered: int) -> None:
        """Take a call into account."""
        self._ratios[endpoint_name] = max(self._ratios.get(endpoint_name, 0.0), answered / sent)

    def sendable(self, endpoint_name: str) -> int:
        """How many bytes to send at once, so that the response is not too large."""
        ratio = self._ratios.get(endpoint_name)
        return _PROBE if ratio is None else int(ENOUGH_ANSWERED / max(ratio, 1e-6))

    def expected(self, endpoint_name: str, sent: int) -> int:
        """The most bytes of answers that are in memory at once for `sent` bytes: enough, and one call more."""
        ratio = self._ratios.get(endpoint_name)
        most = 2 * ENOUGH_ANSWERED
        return most if ratio is None else min(most, int(ratio * sent))
