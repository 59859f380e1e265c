"""A dropped file, from its size to the messages of its parts."""

from sluice.arrivals import Assembly, DroppedObject, TransformPart
from sluice.attempt import Attempt
from sluice.failures import invalid
from sluice.identity import is_file
from sluice.outcome import Outcome, Status
from sluice.ports import Files, Sender
from sluice.request import endpoint_of, message_for
from sluice.settings import Settings
from sluice.transform.lines import ranges
from sluice.transform.messages import message_of
from sluice.transform.options import Options, chunk_bytes


class Splitter:
    """Splits files by their size: which lines are in a part, the part finds out."""

    def __init__(self, settings: Settings, files: Files, requests: Sender, assemblies: Sender) -> None:
        self._settings = settings
        self._files = files
        self._requests = requests
        self._assemblies = assemblies

    def answer(self, attempt: Attempt) -> Outcome:
        """Send the messages of a file's parts. A second delivery sends them again; each is answered once.

        Raises `Failure` when the file's metadata breaks a rule, `ServiceError` when AWS fails.
        """
        file = attempt.request
        if not isinstance(file, DroppedObject) or not is_file(file, self._settings):
            raise invalid("message", "this queue takes S3 events of files under transform/ alone")
        facts = self._files.facts(file.bucket, file.key)
        if not file.is_version(facts.version):
            return attempt.ended(Status.SUPERSEDED, detail="the file was replaced; its newer version is transformed")
        options = Options.from_metadata(facts.metadata)
        attempt.endpoint_name = endpoint_of(message_for(file, facts.metadata, self._settings), self._settings)
        if file.key.endswith(".gz") or facts.metadata.get("content-encoding") == "gzip":
            raise invalid("file", "is gzip, whose parts can't be read by themselves; drop it unpacked")
        whole = DroppedObject(
            bucket=file.bucket,
            key=file.key,
            size=facts.size,
            version_id=file.version_id,
            sequencer=file.sequencer,
            etag=facts.version.etag,
        )
        parts = ranges(facts.size, chunk_bytes(facts.size, options))
        if parts:
            self._requests.send(message_of(TransformPart(whole, start, end)) for start, end in parts)
        else:
            self._assemblies.send([message_of(Assembly(whole))])
        return attempt.ended(Status.SUCCEEDED, detail=f"{len(parts)} parts")

    def overtaken(self, attempt: Attempt) -> Outcome | None:  # noqa: ARG002 - the answerers' common form
        """Nothing takes a split file's failure back but its next delivery."""
        return None
