"""The logs of the functions: one line per outcome, and the metrics in Embedded Metric Format."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from cli.deployment import Deployment, is_denied
from sluice.keys import dataset_of_part
from sluice.processing.outcome import Status

ALL_EVENTS = '{ $.service = "*" }'
"""A filter pattern for all outcomes and metrics. It leaves out the lines that Lambda itself writes."""

_STATUSES = {status.value for status in Status}
_MAX_PATTERN = 1024  # characters of a filter pattern (FilterLogEvents)
# Replaced by the wildcard `*`: the quoting of quotation marks and backslashes, and the comparison of characters that
# are not ASCII, are not documented well enough to rely on.
_UNSAFE = re.compile(r'(?:["\\%*]|[^\x20-\x7e])+')


@dataclass(frozen=True, slots=True)
class LoggedOutcome:
    """The log line of one outcome. `fields` are the fields of the line under their names in the log."""

    at: datetime
    status: Status
    fields: Mapping[str, Any]

    @property
    def result(self) -> str | None:
        """Name of the result; None when the request failed before it had one."""
        name: str | None = self.fields.get("result")
        return name

    @property
    def request_name(self) -> str | None:
        """Name of the request's result: for a part of a dataset, that of its dataset."""
        return None if self.result is None else dataset_of_part(self.result) or self.result

    @property
    def reason(self) -> str | None:
        """The error, or another detail of the outcome."""
        code, message = self.fields.get("error_code"), self.fields.get("error_message")
        return f"{code}: {message}" if code else self.fields.get("detail")

    @property
    def next_try(self) -> datetime | None:
        """The earliest time of the next attempt; None when the request is not retried."""
        seconds = self.fields.get("retry_after_seconds")
        return None if seconds is None else self.at + timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One JSON line in a log group. `id` is unique."""

    id: str
    group: str
    at: datetime
    fields: Mapping[str, Any]

    @property
    def outcome(self) -> LoggedOutcome | None:
        """The outcome in this line; None when the line is about something else."""
        status = self.fields.get("message")
        if status not in _STATUSES or "message_id" not in self.fields:
            return None
        return LoggedOutcome(self.at, Status(status), self.fields)

    @property
    def counts(self) -> Mapping[str, int]:
        """The sum of each count in a line in Embedded Metric Format; empty for any other line."""
        described = self.fields.get("_aws", {}).get("CloudWatchMetrics", [])
        names = [one["Name"] for group in described for one in group["Metrics"] if one["Unit"] == "Count"]
        return {name: round(sum(self.fields[name])) for name in names}


def log_events(deployment: Deployment, pattern: str, since: datetime) -> Iterator[LogEvent]:
    """The events that match `pattern` in the log groups of all functions. They are not sorted across groups.

    Raises `PermissionError` when the credentials do not permit reading the logs, else botocore's errors.
    """
    paginator = deployment.logs.get_paginator("filter_log_events")
    for group in deployment.output("LogGroupNames").split(","):
        pages = paginator.paginate(
            logGroupName=group, filterPattern=pattern, startTime=int(since.timestamp() * 1000), interleaved=True
        )
        try:
            for page in pages:
                for event in page["events"]:
                    if (fields := _json_object(event["message"])) is not None:
                        at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
                        # Local emulators of CloudWatch Logs return no event ID.
                        event_id = event.get("eventId") or f"{event.get('logStreamName')} {at} {event['message']}"
                        yield LogEvent(event_id, group, at, fields)
        except ClientError as error:
            if is_denied(error):
                raise PermissionError("logs:FilterLogEvents is not allowed") from None
            # A group does not exist until its function has logged something.
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise


def find_outcomes(
    deployment: Deployment, wanted: Mapping[str, str], since: datetime, *, result_prefix: str | None = None
) -> list[LoggedOutcome]:
    """The outcomes with at least one of the fields `wanted`, or with a result name that starts with `result_prefix`.

    The oldest is first. Raises as `log_events` does.
    """
    found = []
    for event in log_events(deployment, filter_pattern(wanted, result_prefix=result_prefix), since):
        # The pattern may match more than what is wanted, because of its wildcards.
        outcome = event.outcome
        if outcome and (
            any(outcome.fields.get(field) == value for field, value in wanted.items())
            or (result_prefix is not None and (outcome.result or "").startswith(result_prefix))
        ):
            found.append(outcome)
    return sorted(found, key=lambda outcome: outcome.at)


def filter_pattern(wanted: Mapping[str, str], *, result_prefix: str | None = None) -> str:
    """A filter pattern that matches the lines with one of the fields `wanted`, and possibly others."""
    values = [(field, _UNSAFE.sub("*", value), "") for field, value in wanted.items()]
    if result_prefix is not None:
        values.append(("result", _UNSAFE.sub("*", result_prefix), "*"))
    room = _MAX_PATTERN // max(1, len(values)) - 40
    terms = [
        f'($.{field} = "{value}{end}")' if len(value) <= room else f'($.{field} = "{value[:room]}*")'
        for field, value, end in values
    ]
    return "{ " + " || ".join(terms) + " }"


def _json_object(message: str) -> dict[str, Any] | None:
    if not message.startswith("{"):
        return None
    try:
        fields = json.loads(message)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None
