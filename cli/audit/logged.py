"""The requests in the logs of the functions."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from botocore.exceptions import ClientError

from cli.deployment import Deployment, is_denied
from cli.logs import ALL_EVENTS, LogEvent, LoggedOutcome, log_events
from sluice.inputs.identity import owner_of_message
from sluice.keys import FILES_PREFIX, MESSAGES_PREFIX, is_dataset
from sluice.processing.outcome import Status

_COUNTED = {"Succeeded": Status.SUCCEEDED, "DeadLettered": Status.DEAD_LETTERED, "Retried": Status.RETRY}
_PROGRESS_LINES = 10_000  # between two calls of `on_progress`


@dataclass(slots=True)
class LoggedRequest:
    """What the logs say of a request.

    `name` is the name of its result, for a part that of its dataset. `owner` is that of a message's outcome; None for
    an object, all versions of which are one request here. `status` is that of the last line, `message_id` its message,
    and `version` the owner of the object's version that it is about.
    """

    name: str
    owner: str | None
    last: datetime
    status: Status
    message_id: str
    error_code: str | None
    next_try: datetime | None
    is_final: bool
    """Whether the last line says that the request ended. The split and the parts of a dataset do not end it."""
    version: str | None = None
    is_answered: bool = False
    """Whether its result is stored."""
    is_failed: bool = False
    """Whether its `.err` is stored."""
    is_judged: bool = False
    """Whether its input object is there, so that it is checked with that."""


@dataclass(slots=True)
class Logged:
    """The requests in the logs since `since`.

    The memory depends on the number of requests: about 0.5 KB each.
    """

    since: datetime
    denied: str | None = None
    """Why the logs can't be read; None when they can."""
    is_retention_unknown: bool = False
    """Whether they may begin later than at `since`, because the credentials do not permit reading how long they are
    kept."""
    dead_lettered: set[str] = field(default_factory=set)
    """The IDs of the messages that were dead-lettered."""
    _requests: dict[tuple[str, str | None], LoggedRequest] = field(default_factory=dict)
    _lines: Counter[Status] = field(default_factory=Counter)
    _counted: Counter[Status] = field(default_factory=Counter)

    def add(self, event: LogEvent) -> None:
        """Take a line into account."""
        outcome = event.outcome
        if outcome is None:
            for metric, count in event.counts.items():
                if metric in _COUNTED:
                    self._counted[_COUNTED[metric]] += count
            return
        self._lines[outcome.status] += 1
        name = outcome.request_name
        if name is None:  # it is about no request
            return
        # A part that fails with its file has no dead letter of its own, but that of the file.
        if outcome.status in {Status.DEAD_LETTERED, Status.FAILED_WITH_FILE}:
            self.dead_lettered.add(outcome.fields["message_id"])
        self._add_request(outcome, name)

    def has_no_lines_of(self, status: Status) -> bool:
        """Whether outcomes with this status are counted but not logged, because of the functions' log level."""
        return not self._lines[status] and self._counted[status] > 0

    def requests(self) -> Iterable[LoggedRequest]:
        """All requests."""
        return self._requests.values()

    def find(self, name: str, owner: str | None = None) -> LoggedRequest | None:
        """The request with this name and, for a message, this owner."""
        return self._requests.get((name, owner))

    def _add_request(self, outcome: LoggedOutcome, name: str) -> None:
        fields = outcome.fields
        owner = None
        if name.startswith((MESSAGES_PREFIX, FILES_PREFIX)):
            owner = owner_of_message(fields.get("inference_id") or fields["message_id"], name)
        is_final = outcome.status is not Status.RETRY
        if is_dataset(name) and outcome.status in {Status.SUCCEEDED, Status.DUPLICATE}:
            # The line of the split, of a part, or of an assembly that waits for parts.
            is_final = outcome.result == name and fields.get("detail") is None
        request = self._requests.get((name, owner))
        if request is None:
            request = self._requests[name, owner] = LoggedRequest(
                name, owner, outcome.at, outcome.status, fields["message_id"], None, None, is_final
            )
        # The groups are read one after the other. Of lines of one millisecond, the final one is the last.
        if (outcome.at, is_final) >= (request.last, request.is_final):
            request.last, request.status, request.is_final = outcome.at, outcome.status, is_final
            request.message_id = fields["message_id"]
            request.version = fields.get("owner")
            request.error_code = fields.get("error_code")
            request.next_try = outcome.next_try


def read_logs(deployment: Deployment, since: datetime, on_progress: Callable[[str], None]) -> Logged:
    """The requests in the logs of all functions, as far back as `since` and as the logs are kept.

    Raises botocore's errors.
    """
    logged = Logged(since)
    try:
        for number, event in enumerate(log_events(deployment, ALL_EVENTS, since), start=1):
            logged.add(event)
            if number % _PROGRESS_LINES == 0:
                on_progress(f"{number:,} log lines")
    except PermissionError as error:
        logged.denied = str(error)
        return logged
    try:
        logged.since = _kept_since(deployment, since)
    except ClientError as error:
        if not is_denied(error):
            raise
        logged.is_retention_unknown = True
    return logged


def _kept_since(deployment: Deployment, since: datetime) -> datetime:
    """The time from which on the logs of all functions are complete: `since`, or later if they are not kept so long."""
    now = datetime.now(UTC)
    for name in deployment.output("LogGroupNames").split(","):
        for group in deployment.logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]:
            if group["logGroupName"] == name:
                since = max(since, datetime.fromtimestamp(group["creationTime"] / 1000, UTC))
                if days := group.get("retentionInDays"):
                    since = max(since, now - timedelta(days=days))
    return since
