"""Finds the status of requests.

There is no database. The status is derived from the results bucket, then the logs of the functions, then the input
bucket and the number of messages on the request queue.
"""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cli.deployment import Deployment
from cli.logs import LoggedOutcome, find_outcomes
from cli.lookup import stored
from cli.lookup.objects import Inputs, ObjectHead, head_object
from cli.lookup.status import RequestState, RequestStatus
from cli.sqs import queue_depth
from sluice.error_codes import FailureClass
from sluice.keys import (
    ERR,
    FILES_PREFIX,
    INVOKE_PREFIX,
    MESSAGES_PREFIX,
    OTHER_BUCKETS_PREFIX,
    OUT,
    TRANSFORM_PREFIX,
    dataset_of_part,
    message_name,
    object_name,
    parts_folder,
)
from sluice.processing.outcome import Status
from sluice.processing.result import IDENTITY

DEFAULT_SINCE = timedelta(days=3)
_LOG_FIELDS = {
    "inference_id": "InferenceId",
    "trace_id": "TraceId",
    "endpoint_name": "EndpointName",
    "error_code": "ErrorCode",
    "error_message": "ErrorMessage",
}


class RequestLookup:
    """Finds the requests of a deployment. `since` is how far back the logs are searched.

    The methods raise botocore's errors.
    """

    def __init__(
        self,
        deployment: Deployment,
        since: timedelta = DEFAULT_SINCE,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._deployment = deployment
        self._inputs = Inputs(deployment)
        self._since = since
        self._now = now

    def result_name(self, text: str) -> tuple[str, bool]:
        """The name of the result for a key, an `s3://` URI or an ID, and whether `text` is an ID.

        The name for an ID is a guess: it is right for an InferenceId and for the ID of an SQS message without one.
        Raises `Failure` (invalid) for a key that can have no result.
        """
        if text.startswith("s3://"):
            bucket, _, key = text.removeprefix("s3://").partition("/")
            if bucket == self._deployment.results_bucket:
                return key.removesuffix(OUT).removesuffix(ERR), False
            return object_name(bucket, key, self._deployment.input_bucket), False
        if text.startswith((INVOKE_PREFIX, TRANSFORM_PREFIX)):
            return object_name(self._deployment.input_bucket, text, self._deployment.input_bucket), False
        if text.startswith((MESSAGES_PREFIX, FILES_PREFIX, OTHER_BUCKETS_PREFIX)):
            return text, False
        return message_name(text), True

    def find(self, text: str) -> Sequence[RequestStatus]:
        """The status of each request that `text` identifies: more than one only for a shared trace ID, never none.

        Raises `Failure` (invalid) as `result_name` does.
        """
        name, is_id = self.result_name(text)
        if (status := self.find_stored(name)) is not None:
            return [status]
        if not is_id:
            result_prefix = parts_folder(name) if name.startswith(TRANSFORM_PREFIX) else None
            return [self._from_logs(name, *self._search({"result": name}, result_prefix=result_prefix))]
        outcomes, note = self._search(dict.fromkeys(("trace_id", "inference_id", "message_id"), text))
        by_name: dict[str, list[LoggedOutcome]] = {}
        for outcome in outcomes:
            if outcome.result is not None:
                by_name.setdefault(dataset_of_part(outcome.result) or outcome.result, []).append(outcome)
        if not by_name:
            return [self._without_trace(name, note)]
        return [self._found_by_id(name, outcomes) for name, outcomes in by_name.items()]

    def find_stored(self, name: str) -> RequestStatus | None:
        """The status of the request whose outcome is stored under `name`.

        None when there is no outcome, or only that of an older upload of the same key.
        """
        out = self._head(name + OUT)
        upload = self._inputs.find(name)
        if out and (upload is None or upload.identity in {None, out.metadata.get(IDENTITY)}):
            return stored.succeeded(name, out)
        if (err := self._head(name + ERR)) is None:
            return None
        document = json.loads(self._read(name + ERR))
        if (
            upload is None
            or document.get("InferenceId") == upload.identity
            # The sender may have chosen the InferenceId, which is then equal for all uploads of the key.
            or err.modified >= upload.modified
        ):
            return stored.failed(name, err.uri, document)
        return None

    def _found_by_id(self, name: str, outcomes: Sequence[LoggedOutcome]) -> RequestStatus:
        """The status of the request in `outcomes`. The stored result may be that of a newer upload."""
        if outcomes[-1].status is not Status.SUPERSEDED and (status := self.find_stored(name)) is not None:
            if any(outcome.fields.get("trace_id") == status.details.get("TraceId") for outcome in outcomes):
                return status
            detail = "a newer upload of the same key has replaced it"
            return RequestStatus(RequestState.SUPERSEDED, name, {"Detail": detail})
        return self._from_logs(name, outcomes, None)

    def _from_logs(self, name: str, outcomes: Sequence[LoggedOutcome], note: str | None) -> RequestStatus:
        """The status of a request that has no outcome in the results bucket."""
        upload = self._inputs.find(name)
        if upload:  # earlier outcomes are those of an older upload of the key, which is another request
            outcomes = [outcome for outcome in outcomes if outcome.at >= upload.modified]
        progress = self._inputs.progress(name, upload) if upload else {}
        if not outcomes:
            if upload is None or not name.startswith((INVOKE_PREFIX, TRANSFORM_PREFIX)):
                return self._without_trace(name, note)
            details: dict[str, Any] = {"UploadedAt": upload.modified, **progress, "Detail": note}
            return RequestStatus(RequestState.PENDING, name, details)
        last = outcomes[-1]
        details = {printed: last.fields.get(logged) for logged, printed in _LOG_FIELDS.items()}
        if last.status is Status.RETRY:
            attempts = sum(outcome.status is Status.RETRY for outcome in outcomes)
            details |= {"Attempts": attempts, "NextTry": last.next_try, **progress}
            return RequestStatus(RequestState.RETRYING, name, details)
        if last.status is Status.DEAD_LETTERED:
            expired = last.fields.get("failure_class") == FailureClass.EXPIRED
            details |= {"FailedAt": last.at, "Detail": "its .err could not be stored"}
            return RequestStatus(RequestState.EXPIRED if expired else RequestState.FAILED, name, details)
        if last.status is Status.SUPERSEDED:
            return RequestStatus(RequestState.SUPERSEDED, name, {**details, "Detail": last.reason})
        # The last outcome is that of the split or of a part; the file itself is not assembled yet.
        if name.startswith(TRANSFORM_PREFIX) and (last.result != name or last.reason):
            return RequestStatus(RequestState.PENDING, name, {**details, **progress})
        # The result may have been stored while the logs were searched.
        if (status := self.find_stored(name)) is not None:
            return status
        details |= {"AnsweredAt": last.at, "Detail": "its result has been deleted"}
        return RequestStatus(RequestState.GONE, name, details)

    def _without_trace(self, name: str, note: str | None) -> RequestStatus:
        """The status of a request without outcome and log line. It may wait on the queue, which can't be searched."""
        waiting = queue_depth(self._deployment.sqs, self._deployment.request_queue_url).total
        if waiting:
            detail = f"nothing is known of it yet; it may be among the {waiting} messages on the request queue"
            return RequestStatus(RequestState.PENDING, name, {"Detail": "; ".join(filter(None, (detail, note)))})
        return RequestStatus(RequestState.UNKNOWN, name, {"Detail": note})

    def _search(
        self, wanted: dict[str, str], *, result_prefix: str | None = None
    ) -> tuple[list[LoggedOutcome], str | None]:
        """The outcomes in the logs, and a note when the logs can't be read."""
        try:
            since = self._now() - self._since
            return find_outcomes(self._deployment, wanted, since, result_prefix=result_prefix), None
        except PermissionError as error:
            return [], f"the logs could not be searched: {error}"

    def _head(self, key: str) -> ObjectHead | None:
        return head_object(self._deployment, self._deployment.results_bucket, key)

    def _read(self, key: str) -> bytes:
        response = self._deployment.s3.get_object(Bucket=self._deployment.results_bucket, Key=key)
        return response["Body"].read()
