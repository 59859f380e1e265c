"""Whether a file is still there, and still the version that is transformed, while the calls of a part are made."""

from sluice.concurrency import now
from sluice.failures import ServiceError
from sluice.inputs.requests import DroppedObject
from sluice.ports import Bucket
from sluice.transform.replaced import Deleted, Replaced, head_of_file

SECONDS = 5.0
"""Between two HeadObject requests of a part: so long calls are begun for a file that was replaced or deleted."""


class VersionCheck:
    """Checks the version of a part's file before its calls, with one HeadObject in `SECONDS`.

    The version was right when this is made. Calls that begin while HeadObject is under way do not wait for it.
    """

    def __init__(self, bucket: Bucket, file: DroppedObject) -> None:
        self._bucket = bucket
        self._file = file
        self._next = now() + SECONDS
        self._ended: type[Replaced | Deleted] | None = None

    async def check(self) -> None:
        """Raises `Replaced` or `Deleted` if no further call may begin for the file."""
        if self._ended is None and now() >= self._next:
            self._next = now() + SECONDS
            try:
                if not self._file.is_version(await head_of_file(self._bucket, self._file.key)):
                    self._ended = Replaced
            except Deleted:
                self._ended = Deleted
            except ServiceError:
                pass  # An S3 that does not answer now is no reason to leave work that is paid for.
        if self._ended is not None:
            raise self._ended
