"""Decodes chunked bodies (RFC 9112, section 7.1)."""

import re

_SIZE = re.compile(rb"([0-9a-fA-F]{1,16})[ \t]*(?:;[^\r\n\0]*)?")
_LINE = 4_096  # maximum bytes of a line
_LINES = 65_536  # maximum bytes of all chunk extensions and trailers


class CutOff(Exception):
    """The connection ended within the response's body, or the body is malformed."""


class TooLarge(Exception):
    """The response's body exceeds the limit, and was not read."""


class Chunks:
    """Parses a body in chunks. Raises `CutOff`, and `TooLarge` when it is over `max_bytes`."""

    def __init__(self, max_bytes: int | None) -> None:
        self.has_rest = False  # whether data follows the body
        self._max_bytes = max_bytes
        self._received = bytearray()  # data outside of chunks
        self._pieces: list[bytes] = []
        self.size = 0  # bytes of all chunks, so far
        self._left = 0  # remaining bytes of the current chunk
        self._extras = 0  # bytes of extensions and trailers
        self._read = self._read_size

    def feed(self, data: bytes) -> bool:
        """Parse bytes. Returns whether the body is complete."""
        received = self._received
        if self._left >= len(data) and not received:  # all of `data` is part of the current chunk
            self._pieces.append(data)
            self._left -= len(data)
            return False
        received += data
        while True:
            went_on = self._read()
            if went_on is None:
                return False
            if not went_on:
                self.has_rest = bool(received)
                return True

    def body(self) -> bytes:
        """The decoded body."""
        return b"".join(self._pieces)

    # Each of these returns True to continue with `self._read`, None to wait for more bytes, and False at the end.

    def _read_size(self) -> bool | None:
        line = self._line()
        if line is None:
            return None
        found = _SIZE.fullmatch(line)
        if not found:
            raise CutOff("no size of a chunk")
        self._count_extra(len(line) - found.end(1))
        self._left = int(found[1], 16)
        self.size += self._left
        if self._max_bytes is not None and self.size > self._max_bytes:
            raise TooLarge
        self._read = self._read_data if self._left else self._read_trailer
        return True

    def _read_data(self) -> bool | None:
        piece = bytes(memoryview(self._received)[: self._left])
        del self._received[: len(piece)]
        self._pieces.append(piece)
        self._left -= len(piece)
        if self._left:
            return None
        self._read = self._read_data_end
        return True

    def _read_data_end(self) -> bool | None:
        if len(self._received) < 2:
            return None
        if self._received[:2] != b"\r\n":
            raise CutOff("a chunk is not as long as it says")
        del self._received[:2]
        self._read = self._read_size
        return True

    def _read_trailer(self) -> bool | None:
        line = self._line()
        if line is None:
            return None
        self._count_extra(len(line))
        return bool(line)

    def _line(self) -> bytes | None:
        end = self._received.find(b"\r\n", 0, _LINE + 2)
        if end < 0:
            if len(self._received) >= _LINE + 2:
                raise CutOff(f"a line of over {_LINE} bytes")
            return None
        line = bytes(self._received[:end])
        del self._received[: end + 2]
        return line

    def _count_extra(self, size: int) -> None:
        self._extras += size
        if self._extras > _LINES:
            raise CutOff(f"extensions or trailers of over {_LINES} bytes")
