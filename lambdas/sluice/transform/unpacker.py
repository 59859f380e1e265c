"""Writes the content of a file that cannot be cut into ranges as it is: of gzip, or in another charset than UTF-8."""

import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from sluice import keys
from sluice.failures import Failure, invalid
from sluice.inputs.requests import DroppedObject
from sluice.ports import Bucket, Buckets, Condition, ObjectHead, PreconditionFailed
from sluice.processing.storing import conflict
from sluice.transform.file_type import HEAD_BYTES, check_lines
from sluice.transform.lines import ranges
from sluice.transform.replaced import read_range
from sluice.transform.unpacking import transcoded, unpacked

_PIECE = 8 * 1024 * 1024  # bytes of a file that are read at once


@dataclass(frozen=True, slots=True)
class Unpacker:
    """Writes the content of files to the folders of their parts."""

    inputs: Buckets
    results: Bucket

    async def unpack(
        self,
        file: DroppedObject,
        head: ObjectHead,
        folder: str,
        *,
        is_gzip: bool,
        charset: str | None,
        lines_type: str | None,
    ) -> int:
        """Write the content of a file in UTF-8. Returns its size in bytes.

        If it has a `lines_type`, it is checked that it consists of lines of this content type, before anything is
        written. Raises `Failure` (invalid) for a file that is not what it is called, `Replaced`, `ServiceError`.
        """
        key = keys.unpacked_key(folder)
        if (there := await self.results.head(key)) is not None:
            return there.size  # an earlier delivery has written it
        content = self._pieces(file, head)
        if is_gzip:
            content = unpacked(content)
        if charset is not None:
            content = transcoded(content, charset)
        try:
            await self.results.upload(
                key,
                content if lines_type is None else _checked(content, lines_type),
                content_type=head.content_type or "application/octet-stream",
                metadata={},
                condition=Condition(),
            )
        except PreconditionFailed:
            pass  # an earlier delivery has written it
        except (EOFError, zlib.error) as error:
            raise _no_gzip(error) from None
        except UnicodeDecodeError as error:
            rule = f"the file is not {error.encoding}: {error.reason}; state its charset, or save it as UTF-8"
            raise invalid("content-type", rule) from None
        if (there := await self.results.head(key)) is None:
            raise conflict()
        return there.size

    async def _pieces(self, file: DroppedObject, head: ObjectHead) -> AsyncGenerator[bytes]:
        for start, end in ranges(head.size, _PIECE):
            yield await read_range(self.inputs(file.bucket), file.key, start, end, etag=head.etag)


def _no_gzip(error: Exception) -> Failure:
    return invalid("file", f"is not a complete gzip file: {error}; a file with another content must not be called .gz")


async def _checked(content: AsyncGenerator[bytes], lines_type: str) -> AsyncGenerator[bytes]:
    """`content`, after its beginning is checked."""
    beginning = bytearray()
    is_checked = False
    async with aclosing(content):
        async for piece in content:
            if is_checked:
                yield piece
                continue
            beginning += piece
            if len(beginning) >= HEAD_BYTES:
                check_lines(bytes(beginning[:HEAD_BYTES]), lines_type, is_whole=False)
                is_checked = True
                yield bytes(beginning)
    if not is_checked:
        check_lines(bytes(beginning), lines_type, is_whole=True)
        yield bytes(beginning)
