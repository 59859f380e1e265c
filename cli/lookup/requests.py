"""Finds the status of requests.

There is no database. The status is derived from the results bucket, then the logs of the functions, then the input
bucket and the number of messages on the request queue.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cli.deployment import Deployment
from cli.logs import LoggedOutcome, find_outcomes
from cli.lookup import stored
from cli.lookup.objects import Inputs, Upload
from cli.lookup.outcomes import Found, Outcomes
from cli.lookup.status import RequestState, RequestStatus
from cli.lookup.targets import Query, Target, logged_target, query_for
from cli.sqs import queue_depth
from sluice.error_codes import FailureClass
from sluice.keys import is_dataset, parts_folder
from sluice.processing.outcome import Status

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
        self._outcomes = Outcomes(deployment)
        self._since = since
        self._now = now

    def query(self, text: str) -> Query:
        """What `text` may identify. Raises `Failure` (invalid) for a key that can have no result."""
        return query_for(text, self._deployment.input_bucket, self._deployment.results_bucket)

    def check(self, query: Query) -> RequestStatus | None:
        """The status as far as the buckets tell it; None without an outcome. The logs are not searched."""
        found, _ = self._outcomes.first(query.targets)
        return found.status

    def find(self, query: Query) -> Sequence[RequestStatus]:
        """The status of each request that is identified: more than one only for a shared trace ID, never none."""
        found, target = self._outcomes.first(query.targets)
        if found.status is not None and found.status.is_final:
            return [found.status]
        is_known = found.status is not None or (found.upload is not None and target.is_input)
        note: str | None = None
        for one in (target,) if is_known else query.targets:
            outcomes, note = self._search(one)
            if statuses := [self._logged(request, group) for request, group in _by_request(one, outcomes)]:
                return statuses
        if is_known:
            return [self._without_log_line(target, found, note)]
        return [self._without_trace(query, note)]

    def _logged(self, target: Target, outcomes: Sequence[LoggedOutcome]) -> RequestStatus:
        """The status of the request that has logged `outcomes`. The stored result may be that of a newer upload."""
        last = outcomes[-1]
        found = self._outcomes.find(target)  # after the search: an outcome that was logged has been stored
        is_version = target.owner is None and "result" not in target.logged_as  # an ID is that of one version
        if is_version and last.status is Status.SUPERSEDED:
            return self._from_logs(target, found, outcomes)
        if is_version and found.status is not None:
            trace_ids = {outcome.fields.get("trace_id") for outcome in outcomes}
            if found.status.details.get("TraceId") not in trace_ids:
                detail = "a newer upload of the same key has replaced it"
                return RequestStatus(RequestState.SUPERSEDED, target.name, {"Detail": detail})
        if found.status is not None and found.status.is_final:
            return found.status
        if found.failure is not None and found.failure.message_id == last.fields.get("message_id"):
            return self._without_log_line(target, found, None)  # the message that was sent again has logged nothing
        return self._from_logs(target, found, outcomes)

    def _from_logs(self, target: Target, found: Found, outcomes: Sequence[LoggedOutcome]) -> RequestStatus:
        """The status of a request that has no outcome in the results bucket."""
        name, upload = target.name, found.upload
        if upload:  # outcomes of another upload of the key are those of another request
            outcomes = [outcome for outcome in outcomes if _is_of_upload(outcome, upload)]
        if not outcomes:
            return self._without_log_line(target, found, None)
        progress = self._inputs.progress(name, upload) if upload else {}
        last = outcomes[-1]
        details = {printed: last.fields.get(logged) for logged, printed in _LOG_FIELDS.items()}
        if last.status is Status.RETRY:
            attempts = sum(outcome.status is Status.RETRY for outcome in outcomes)
            details |= {"Attempts": attempts, "NextTry": last.next_try, **progress}
            return RequestStatus(RequestState.RETRYING, name, details)
        if last.status is Status.DEAD_LETTERED:
            owner = target.owner or last.fields.get("owner")
            if owner and (spare := self._outcomes.spare_failure(target, owner)) is not None:
                return stored.sent_again(name, spare) if spare.sent_again_at else stored.failed(name, spare)
            expired = last.fields.get("failure_class") == FailureClass.EXPIRED
            is_replaced = target.message_id is not None and found.failure is not None
            detail = (
                "another message of the request has replaced its .err"
                if is_replaced
                else "its .err could not be stored, or has been deleted"
            )
            details |= {"FailedAt": last.at, "Detail": detail}
            return RequestStatus(RequestState.EXPIRED if expired else RequestState.FAILED, name, details)
        if last.status is Status.SUPERSEDED:
            return RequestStatus(RequestState.SUPERSEDED, name, {**details, "Detail": last.reason})
        # The last outcome is that of the split or of a part; the file itself is not assembled yet.
        if is_dataset(name) and (last.result != name or last.reason):
            return RequestStatus(RequestState.PENDING, name, {**details, **progress})
        details |= {"AnsweredAt": last.at, "Detail": "its result has been deleted"}
        return RequestStatus(RequestState.GONE, name, details)

    def _without_log_line(self, target: Target, found: Found, note: str | None) -> RequestStatus:
        """The status of a request that has been uploaded or sent again, and of which the logs know nothing since."""
        if found.status is not None:
            detail = "; ".join(filter(None, (found.status.details.get("Detail"), note)))
            return replace(found.status, details={**found.status.details, "Detail": detail})
        details: dict[str, Any] = {"Detail": note}
        if found.upload is not None:
            details = {
                "UploadedAt": found.upload.modified,
                **self._inputs.progress(target.name, found.upload),
                "Detail": note,
            }
        return RequestStatus(RequestState.PENDING, target.name, details)

    def _without_trace(self, query: Query, note: str | None) -> RequestStatus:
        """The status of a request without outcome and log line. It may wait on the queue, which can't be searched."""
        name = query.targets[0].name
        waiting = queue_depth(self._deployment.sqs, self._deployment.request_queue_url).total
        if waiting:
            detail = f"nothing is known of it yet; it may be among the {waiting} messages on the request queue"
            return RequestStatus(RequestState.PENDING, name, {"Detail": "; ".join(filter(None, (detail, note)))})
        return RequestStatus(RequestState.UNKNOWN, name, {"Detail": note or query.problem})

    def _search(self, target: Target) -> tuple[list[LoggedOutcome], str | None]:
        """The outcomes of a request in the logs, and a note when the logs can't be read."""
        parts = parts_folder(target.name) if is_dataset(target.name) else None
        try:
            since = self._now() - self._since
            found = find_outcomes(self._deployment, target.logged_as, since, result_prefix=parts)
        except PermissionError as error:
            return [], f"the logs could not be searched: {error}"
        # Parts of another file have the prefix, too, if the other file's key continues this one's.
        return [one for one in found if parts is None or one.request_name in {None, target.name}], None


def _is_of_upload(outcome: LoggedOutcome, upload: Upload) -> bool:
    owner = outcome.fields.get("owner")
    # In a bucket without versions, only the time tells uploads apart.
    return outcome.at >= upload.modified if None in {owner, upload.identity} else owner == upload.identity


def _by_request(target: Target, outcomes: Sequence[LoggedOutcome]) -> list[tuple[Target, list[LoggedOutcome]]]:
    """The outcomes that identify requests as `target` does, by request."""
    groups: dict[Target, list[LoggedOutcome]] = {}
    for outcome in outcomes:
        if (name := outcome.request_name) is not None:
            request = logged_target(name, outcome.fields)
            groups.setdefault(replace(request, logged_as=target.logged_as), []).append(outcome)
    return [(_of_message(request, group), group) for request, group in groups.items()]


def _of_message(request: Target, outcomes: Sequence[LoggedOutcome]) -> Target:
    """The request; if it was identified by the ID of one of its messages, that message's outcome is meant."""
    message_id = request.logged_as.get("message_id")
    is_by_message = {outcome.fields.get("message_id") for outcome in outcomes} == {message_id}
    return replace(request, message_id=message_id) if is_by_message and message_id != request.owner else request
