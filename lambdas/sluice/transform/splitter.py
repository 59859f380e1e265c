"""A dropped file, from its size to the messages of its parts."""

import zlib
from collections.abc import Iterator
from dataclasses import replace

from sluice.failures import invalid
from sluice.inputs.identity import is_file, parts_folder
from sluice.inputs.internal_messages import body_of
from sluice.inputs.invocation import endpoint_of, message_for
from sluice.inputs.requests import Assembly, DroppedObject, TransformPart
from sluice.ports import Files, ObjectHead, Parts, PreconditionFailed, Sender
from sluice.processing.attempt import Attempt
from sluice.processing.outcome import Outcome, Status
from sluice.settings import Settings
from sluice.transform.gzipped import is_packed, unpacked, unpacked_key
from sluice.transform.lines import ranges
from sluice.transform.options import Options, chunk_bytes

_PIECE = 8 * 1024 * 1024  # bytes of a gzip that are read at once


class Splitter:
    """Splits files by their size: which lines are in a part, the part finds out."""

    def __init__(self, settings: Settings, files: Files, *, parts: Parts, requests: Sender, assemblies: Sender) -> None:
        self._settings = settings
        self._files = files
        self._parts = parts
        self._requests = requests
        self._assemblies = assemblies

    def handle(self, attempt: Attempt) -> Outcome:
        """Send the messages of a file's parts. A second delivery sends them again; each is answered once.

        Raises `Failure` when the file's metadata breaks a rule, `ServiceError` when AWS fails.
        """
        file = attempt.request
        if not isinstance(file, DroppedObject) or not is_file(file, self._settings):
            raise invalid("message", "this queue takes S3 events of files under transform/ alone")
        head = self._files.head(file.bucket, file.key)
        if not file.is_version(head.version):
            return attempt.ended(Status.SUPERSEDED, detail="the file was replaced; its newer version is transformed")
        options = Options.from_metadata(head.metadata, self._settings.transform_defaults)
        attempt.endpoint_name = endpoint_of(message_for(file, head.metadata, self._settings), self._settings)
        packed = is_packed(file.key)
        size = self._unpack(attempt, file, head) if packed else head.size
        whole = replace(file, size=size, etag=head.version.etag)
        if options.split_type == "None":
            if size > self._settings.max_body_bytes:
                raise invalid("file", f"{size} bytes are over max_body_bytes, and SplitType is None: they are one call")
            parts = ranges(size, max(1, size))
        else:
            parts = ranges(size, chunk_bytes(size))
        if parts:
            self._requests.send(body_of(TransformPart(whole, start, end, packed)) for start, end in parts)
        else:
            self._assemblies.send([body_of(Assembly(whole))])
        return attempt.ended(Status.SUCCEEDED, detail=f"{len(parts)} parts")

    def _unpack(self, attempt: Attempt, file: DroppedObject, head: ObjectHead) -> int:
        """Write what is in a gzip beside its parts, as it is read, and return how many bytes that are."""
        key = unpacked_key(parts_folder(attempt.identity))
        try:
            self._parts.assemble(
                key,
                unpacked(self._pieces(file, head)),
                content_type=head.content_type or "application/octet-stream",
                metadata={},
                replaces=None,
            )
        except PreconditionFailed:
            pass  # an earlier delivery has done it
        except (EOFError, zlib.error) as error:
            raise invalid("file", f"is called .gz and is not whole gzip: {error}") from None
        return self._files.head(self._settings.results_bucket, key).size

    def _pieces(self, file: DroppedObject, head: ObjectHead) -> Iterator[bytes]:
        for start, end in ranges(head.size, _PIECE):
            yield self._files.read(file.bucket, file.key, start, end, etag=head.version.etag)

    def already_resolved(self, attempt: Attempt) -> Outcome | None:  # noqa: ARG002 - the handlers' common form
        """Nothing takes a split file's failure back but its next delivery."""
        return None
