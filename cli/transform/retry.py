"""Finds what a retry of a file needs, sends it, and waits for its end.

The functions do all of the work: the command sends one message to the queue of the split function.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cli.deployment import Deployment
from cli.errors import CliError, ExitCode
from cli.lookup.failures import Failures, StoredFailure
from cli.lookup.objects import Inputs, ObjectHead, Upload, head_object
from cli.sqs import queue_url_of
from sluice.inputs.identity import key_of_version
from sluice.inputs.internal_messages import body_of
from sluice.inputs.requests import DroppedObject, TransformRetry
from sluice.keys import ERR, OUT, TRANSFORM_PREFIX, failure_key, parts_folder, stored_parts
from sluice.processing.result import RUN, SEQUENCER, SOURCE_VERSION, owner_of

_PAUSE = 2.0  # seconds between two looks at the result


@dataclass(frozen=True, slots=True)
class File:
    """A file that can be retried: its outcome, which is `out` or `failure`, and how many of its records failed.

    `failed` is None when the file failed as a whole.
    """

    name: str
    request: DroppedObject
    folder: str
    out: ObjectHead | None
    failure: StoredFailure | None
    failed: int | None


@dataclass(frozen=True, slots=True)
class Sent:
    """The message of a retry, and when it was sent."""

    message_id: str
    at: datetime

    @property
    def digest(self) -> str:
        """What the ID of its run ends in (`sluice.inputs.runs`)."""
        return hashlib.sha256(self.message_id.encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a retry ended."""

    exit_code: ExitCode
    document: Mapping[str, Any] = field(default_factory=dict)


class Retries:
    """The retries of a deployment. Methods raise botocore's errors."""

    def __init__(
        self,
        deployment: Deployment,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._deployment = deployment
        self._clock = clock
        self._sleep = sleep
        self.failures = Failures(deployment.s3, deployment.results_bucket)

    def find(self, text: str) -> File:
        """The file with this key or URI. Raises `CliError` when it can't be retried, with the reason."""
        bucket, results = self._deployment.input_bucket, self._deployment.results_bucket
        name = text.removeprefix(f"s3://{bucket}/")
        if not name.startswith(TRANSFORM_PREFIX):
            raise CliError(f"{text}: only files under s3://{bucket}/{TRANSFORM_PREFIX} can be retried", ExitCode.USAGE)
        upload = Inputs(self._deployment).find(name)
        if upload is None:
            raise CliError(f"{name} is not in s3://{bucket}: its records are gone; drop it again", ExitCode.NOT_FOUND)
        failure = self.failures.find(name + ERR)
        out = head_object(self._deployment, results, name + OUT)
        if out is not None and _is_of(out, upload):
            return self._answered(name, upload, out)
        if failure is None or not _is_of(failure.head, upload):
            raise CliError(f"{name}: its newest version still runs", ExitCode.PENDING)
        if failure.sent_again_at is not None:
            raise CliError(
                f"{name} was sent again at {failure.sent_again_at:%H:%M:%S}Z, and still runs", ExitCode.PENDING
            )
        return self._file(name, upload, failure.head, failure=failure)

    def send(self, file: File) -> Sent:
        """Send the retry. From then on the outcome is that of an earlier attempt, as its tag says."""
        outcome = file.failure or (self._tagged(file.name, file.out) if file.out else None)
        with self.failures.sent_again([[outcome] if outcome else []]):
            response = self._deployment.sqs.send_message(
                QueueUrl=queue_url_of("file", self._deployment), MessageBody=body_of(TransformRetry(file.request))
            )
        return Sent(response["MessageId"], datetime.now(UTC))

    def wait(self, file: File, sent: Sent, timeout: float) -> Ended:
        """Wait until the retry has ended, or for `timeout` seconds."""
        deadline = self._clock() + timeout
        while True:
            if (ended := self._ended(file, sent)) is not None:
                return ended
            if self._clock() >= deadline:
                return Ended(ExitCode.PENDING, {"State": "pending"})
            self._sleep(_PAUSE)

    def _answered(self, name: str, upload: Upload, out: ObjectHead) -> File:
        """A file that has a result. Raises `CliError` when no record of it failed, or it is being retried."""
        file = self._file(name, upload, out, out=out)
        if not file.failed:
            raise CliError(f"{name}: none of its records failed, so there is nothing to retry", ExitCode.USAGE)
        sent_at = self._tagged(name, out).sent_again_at
        failures = self._list(failure_key(file.folder, "").removesuffix(".json"))
        if sent_at is not None and not any(at > sent_at for _, at in failures):
            raise CliError(f"{name}: a retry was sent at {sent_at:%H:%M:%S}Z, and still runs", ExitCode.PENDING)
        if not stored_parts(key for key, _ in self._list(file.folder)):
            raise CliError(
                f"{name}: its parts have expired (retention.part_days), so its answers can't be kept; drop it again",
                ExitCode.NOT_FOUND,
            )
        return file

    def _file(
        self,
        name: str,
        upload: Upload,
        outcome: ObjectHead,
        *,
        out: ObjectHead | None = None,
        failure: StoredFailure | None = None,
    ) -> File:
        bucket = self._deployment.input_bucket
        sequencer = outcome.metadata.get(SEQUENCER)
        owner = owner_of(outcome) or key_of_version(bucket, name, upload.version_id or sequencer or upload.etag)
        request = DroppedObject(bucket, name, upload.size, upload.version_id, sequencer, upload.etag)
        failed = int(out.metadata["failed"]) if out else None
        return File(name, request, parts_folder(name, owner), out, failure, failed)

    def _tagged(self, name: str, out: ObjectHead) -> StoredFailure:
        """The result with its tags: a retry tags it as the `.err` of a request that is sent again."""
        return StoredFailure(name + OUT, out, {}, self.failures.tags(name + OUT) or {})

    def _ended(self, file: File, sent: Sent) -> Ended | None:
        """How the retry has ended; None if it has not."""
        upload = Inputs(self._deployment).find(file.name)
        version = (file.request.version_id, file.request.etag)
        if upload is None or (upload.version_id, upload.etag) != version:
            return Ended(ExitCode.OK, {"State": "superseded", "Detail": "a newer version of the file answers"})
        out = head_object(self._deployment, self._deployment.results_bucket, file.name + OUT)
        run = out.metadata.get(RUN, "") if out else ""
        if out is not None and (run.endswith(sent.digest) or run[:13] > f"{sent.at.timestamp() * 1000:013.0f}"):
            counts = {"Records": int(out.metadata["records"]), "RecordsFailed": int(out.metadata["failed"])}
            return Ended(ExitCode.OK, {"State": "done", **counts})
        for key, _ in self._list(failure_key(file.folder, "").removesuffix(".json")):
            if key.endswith(f"{sent.digest}.json"):
                stored = self._deployment.s3.get_object(Bucket=self._deployment.results_bucket, Key=key)
                document = json.loads(stored["Body"].read())
                reason = {name: document.get(name) for name in ("ErrorCode", "ErrorMessage")}
                return Ended(ExitCode.FAILED, {"State": "failed", **reason})
        return None

    def _list(self, prefix: str) -> list[tuple[str, datetime]]:
        """The keys with a prefix, at most a thousand, and when they were written."""
        response = self._deployment.s3.list_objects_v2(Bucket=self._deployment.results_bucket, Prefix=prefix)
        return [(one["Key"], one["LastModified"]) for one in response.get("Contents", [])]


def _is_of(outcome: ObjectHead, upload: Upload) -> bool:
    """Whether an outcome is that of the newest version."""
    if upload.identity is not None:
        return owner_of(outcome) == upload.identity
    return outcome.metadata.get(SOURCE_VERSION) == upload.etag
