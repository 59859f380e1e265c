"""What became of a request, by what its sender knows of it.

There is no database: the answer is put together from the results bucket, then the functions' logs, then the input
bucket and the queue's counters.
"""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from cli.deployment import Deployment
from cli.logs import Line, lines_of
from cli.objects import Inputs, Stored, head
from cli.queues import depth
from cli.standing import Standing, State
from sluice.error_codes import FailureClass
from sluice.keys import (
    ERR,
    INVOKE_PREFIX,
    OUT,
    TRANSFORM_PREFIX,
    dataset_of_part,
    message_name,
    object_name,
    parts_folder,
)
from sluice.processing.outcome import Status
from sluice.processing.result import IDENTITY

SINCE = timedelta(days=3)
_NAMES = ("messages/", "buckets/")
_METADATA = {
    "inference-id": "InferenceId",
    "trace-id": "TraceId",
    "endpoint-name": "EndpointName",
    "invoked-production-variant": "InvokedProductionVariant",
    "model-latency-ms": "ModelLatencyMs",
    "records": "Records",
    "failed": "RecordsFailed",
}
_NUMBERS = ("ModelLatencyMs", "Records", "RecordsFailed")
_LOGGED = {
    "inference_id": "InferenceId",
    "trace_id": "TraceId",
    "endpoint_name": "EndpointName",
    "error_code": "ErrorCode",
    "error_message": "ErrorMessage",
}


class Requests:
    """The requests of a deployment. `since` is how far back the logs are searched."""

    def __init__(
        self,
        deployment: Deployment,
        since: timedelta = SINCE,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._deployment = deployment
        self._inputs = Inputs(deployment)
        self._since = since
        self._now = now

    def name(self, text: str) -> tuple[str, bool]:
        """The result's name for a key, an `s3://` URI or an ID, and whether it was an ID, whose name is only likely.

        Raises `Failure` (invalid) for a key that can't have a result.
        """
        if text.startswith("s3://"):
            bucket, _, key = text.removeprefix("s3://").partition("/")
            if bucket == self._deployment.results_bucket:
                return key.removesuffix(OUT).removesuffix(ERR), False
            return object_name(bucket, key, self._deployment.input_bucket), False
        if text.startswith((INVOKE_PREFIX, TRANSFORM_PREFIX)):
            return object_name(self._deployment.input_bucket, text, self._deployment.input_bucket), False
        if text.startswith(_NAMES):
            return text, False
        return message_name(text), True

    def find(self, text: str) -> Sequence[Standing]:
        """How each request that `text` may mean stands: several only where they share a trace ID. Never empty.

        Raises `Failure` (invalid) as `name` does.
        """
        name, is_id = self.name(text)
        if (standing := self.stored(name)) is not None:
            return [standing]
        if not is_id:
            below = parts_folder(name) if name.startswith(TRANSFORM_PREFIX) else None
            return [self._unstored(name, *self._lines({"result": name}, below=below))]
        lines, note = self._lines(dict.fromkeys(("trace_id", "inference_id", "message_id"), text))
        by_name: dict[str, list[Line]] = {}
        for line in lines:
            if line.result is not None:
                by_name.setdefault(dataset_of_part(line.result) or line.result, []).append(line)
        if not by_name:
            return [self._unheard_of(name, note)]
        return [self._of_id(one, found) for one, found in by_name.items()]

    def stored(self, name: str) -> Standing | None:
        """How the request stands whose outcome is stored under `name`; None when there is none of its newest upload."""
        out = self._head(name + OUT)
        uploaded = self._inputs.of(name)
        if out and (uploaded is None or uploaded.identity in {None, out.metadata.get(IDENTITY)}):
            return _done(name, out)
        if (err := self._head(name + ERR)) is None:
            return None
        document = json.loads(self._read(name + ERR))
        if (
            uploaded is None
            or document.get("InferenceId") == uploaded.identity
            or err.modified >= uploaded.modified  # the ID may be the sender's, which every upload of it has
        ):
            return _failed(name, err.uri, document)
        return None

    def _of_id(self, name: str, lines: Sequence[Line]) -> Standing:
        """How the request stands that `lines` tell of: its result's name may be a newer upload's by now."""
        if lines[-1].status is not Status.SUPERSEDED and (standing := self.stored(name)) is not None:
            if any(line.fields.get("trace_id") == standing.facts.get("TraceId") for line in lines):
                return standing
            return Standing(State.SUPERSEDED, name, {"Detail": "a newer upload of the same key has taken its place"})
        return self._unstored(name, lines, None)

    def _unstored(self, name: str, lines: Sequence[Line], note: str | None) -> Standing:
        """How a request stands whose outcome isn't in the results bucket."""
        uploaded = self._inputs.of(name)
        if uploaded:  # what an older upload of the key went through is another request's
            lines = [line for line in lines if line.at >= uploaded.modified]
        progress = self._inputs.progress(name, uploaded) if uploaded else {}
        if not lines:
            if uploaded is None or not name.startswith((INVOKE_PREFIX, TRANSFORM_PREFIX)):
                return self._unheard_of(name, note)
            return Standing(State.PENDING, name, {"UploadedAt": uploaded.modified, **progress, "Detail": note})
        last = lines[-1]
        facts: dict[str, Any] = {theirs: last.fields.get(ours) for ours, theirs in _LOGGED.items()}
        if last.status is Status.RETRY:
            attempts = sum(line.status is Status.RETRY for line in lines)
            return Standing(State.RETRYING, name, {**facts, "Attempts": attempts, "NextTry": last.next_try, **progress})
        if last.status is Status.DEAD_LETTERED:
            expired = last.fields.get("failure_class") == FailureClass.EXPIRED
            state = State.EXPIRED if expired else State.FAILED
            return Standing(state, name, {**facts, "FailedAt": last.at, "Detail": "its .err could not be stored"})
        if last.status is Status.SUPERSEDED:
            return Standing(State.SUPERSEDED, name, {**facts, "Detail": last.reason})
        if name.startswith(TRANSFORM_PREFIX) and (last.result != name or last.reason):  # split, or a part of it
            return Standing(State.PENDING, name, {**facts, **progress})
        if (standing := self.stored(name)) is not None:  # while the logs were read
            return standing
        return Standing(State.GONE, name, {**facts, "AnsweredAt": last.at, "Detail": "its result has been deleted"})

    def _unheard_of(self, name: str, note: str | None) -> Standing:
        """How it stands with what has left no trace: it may wait on the queue, which can't be looked into."""
        waiting = depth(self._deployment, self._deployment.request_queue_url).all
        if waiting:
            detail = f"nothing is known of it yet; it may be among the {waiting} messages on the request queue"
            return Standing(State.PENDING, name, {"Detail": "; ".join(filter(None, (detail, note)))})
        return Standing(State.UNKNOWN, name, {"Detail": note})

    def _lines(self, wanted: dict[str, str], *, below: str | None = None) -> tuple[list[Line], str | None]:
        try:
            return lines_of(self._deployment, wanted, self._now() - self._since, below=below), None
        except PermissionError as error:
            return [], f"the logs could not be searched: {error}"

    def _head(self, key: str) -> Stored | None:
        return head(self._deployment, self._deployment.results_bucket, key)

    def _read(self, key: str) -> bytes:
        got = self._deployment.s3.get_object(Bucket=self._deployment.results_bucket, Key=key)
        return got["Body"].read()


def _done(name: str, out: Stored) -> Standing:
    said = {theirs: unquote(out.metadata[ours]) for ours, theirs in _METADATA.items() if ours in out.metadata}
    numbers = {key: int(said[key]) for key in _NUMBERS if key in said}
    facts = {"Result": out.uri, "AnsweredAt": out.modified, "ContentType": out.content_type, "Bytes": out.size}
    return Standing(State.DONE, name, {**facts, **said, **numbers})


def _failed(name: str, uri: str, document: dict[str, Any]) -> Standing:
    expired = document.get("FailureClass") == FailureClass.EXPIRED
    return Standing(
        State.EXPIRED if expired else State.FAILED,
        name,
        {"Result": uri, **{k: v for k, v in document.items() if v != {}}},
    )
