"""The functions' logs: one line for each outcome, and the counts that they print as metrics."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from cli.deployment import Deployment, is_denied
from sluice.processing.outcome import Status

EVERYTHING = '{ $.service = "*" }'
"""A pattern for outcomes and counts, less what Lambda itself logs."""

_STATUSES = {status.value for status in Status}
_MAX_PATTERN = 1024  # FilterLogEvents
# A quotation mark or a backslash can't be trusted to be quoted as meant, nor what isn't ASCII to be compared.
_UNSAFE = re.compile(r'(?:["\\%*]|[^\x20-\x7e])+')


@dataclass(frozen=True, slots=True)
class Line:
    """What a function logged of one outcome. `fields` are the line's own, under its names."""

    at: datetime
    status: Status
    fields: Mapping[str, Any]

    @property
    def result(self) -> str | None:
        """Name of the result, where the request got so far as to have one."""
        name: str | None = self.fields.get("result")
        return name

    @property
    def reason(self) -> str | None:
        """Why it failed or is retried, or what else there is to say."""
        code, message = self.fields.get("error_code"), self.fields.get("error_message")
        return f"{code}: {message}" if code else self.fields.get("detail")

    @property
    def next_try(self) -> datetime | None:
        """When a request that is retried is tried next, at the earliest."""
        seconds = self.fields.get("retry_after_seconds")
        return None if seconds is None else self.at + timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Event:
    """One JSON line of a function's log. `id` tells it from all others."""

    id: str
    group: str
    at: datetime
    fields: Mapping[str, Any]

    @property
    def line(self) -> Line | None:
        """The outcome that it tells of, if it does."""
        status = self.fields.get("message")
        if status not in _STATUSES or "message_id" not in self.fields:
            return None
        return Line(self.at, Status(status), self.fields)

    @property
    def counts(self) -> Mapping[str, int]:
        """How often each metric was counted, for a line in Embedded Metric Format; else none."""
        if "_aws" not in self.fields:
            return {}
        return {name: len(values) for name, values in self.fields.items() if isinstance(values, list)}


def events(deployment: Deployment, pattern: str, since: datetime) -> Iterator[Event]:
    """What matches `pattern` in the logs of all functions since then, in no order across functions.

    Raises `PermissionError` where these credentials may not read the logs.
    """
    paginator = deployment.logs.get_paginator("filter_log_events")
    for group in deployment.output("LogGroupNames").split(","):
        pages = paginator.paginate(
            logGroupName=group, filterPattern=pattern, startTime=int(since.timestamp() * 1000), interleaved=True
        )
        try:
            for page in pages:
                for event in page["events"]:
                    if (fields := _fields(event["message"])) is not None:
                        at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
                        # Local AWSs leave the ID out.
                        key = event.get("eventId") or f"{event.get('logStreamName')} {at} {event['message']}"
                        yield Event(key, group, at, fields)
        except ClientError as error:
            if is_denied(error):
                raise PermissionError("logs:FilterLogEvents is not allowed") from None
            if error.response["Error"]["Code"] != "ResourceNotFoundException":  # deleted, or nothing ever logged
                raise


def lines_of(
    deployment: Deployment, wanted: Mapping[str, str], since: datetime, *, below: str | None = None
) -> list[Line]:
    """The outcomes that have one of the fields `wanted` at its value, or a result whose name begins with `below`.

    Oldest first. Raises `PermissionError`.
    """
    found = []
    for event in events(deployment, pattern(wanted, below=below), since):
        # Looked at once more: the pattern lets more through where a value had to be loosened.
        line = event.line
        if line and (
            any(line.fields.get(field) == value for field, value in wanted.items())
            or (below is not None and (line.result or "").startswith(below))
        ):
            found.append(line)
    return sorted(found, key=lambda line: line.at)


def pattern(wanted: Mapping[str, str], *, below: str | None = None) -> str:
    """A CloudWatch Logs pattern for JSON lines in which one of the fields has its value, or might have."""
    values = [(field, _UNSAFE.sub("*", value), "") for field, value in wanted.items()]
    if below is not None:
        values.append(("result", _UNSAFE.sub("*", below), "*"))
    room = _MAX_PATTERN // max(1, len(values)) - 40
    terms = [
        f'($.{field} = "{value}{end}")' if len(value) <= room else f'($.{field} = "{value[:room]}*")'
        for field, value, end in values
    ]
    return "{ " + " || ".join(terms) + " }"


def _fields(message: str) -> dict[str, Any] | None:
    if not message.startswith("{"):
        return None
    try:
        fields = json.loads(message)
    except ValueError:  # somebody else's line
        return None
    return fields if isinstance(fields, dict) else None
