"""Who answers what: each function takes some kinds of requests, and refuses the others."""

from collections.abc import Mapping
from typing import Literal, Protocol

from sluice.failures import invalid
from sluice.inputs.identity import is_file
from sluice.inputs.requests import Assembly, DroppedObject, Request, TransformPart
from sluice.processing.attempt import Attempt
from sluice.processing.outcome import Outcome
from sluice.settings import Settings

Kind = Literal["call", "file", "part", "assembly"]
"""One InvokeEndpoint call; a file to split; a part of it to answer; its parts to make one."""

_OTHER = "is of a kind that this queue does not take: %s"


class RequestHandler(Protocol):
    """RequestHandler one kind of requests."""

    def handle(self, attempt: Attempt) -> Outcome:
        """Bring a request to its end. Raises `Failure`, `ServiceError`, and whatever a bug raises."""

    def already_resolved(self, attempt: Attempt) -> Outcome | None:
        """The outcome when a failure of the request counts no more. Raises `ServiceError`."""


class Router:
    """`RequestHandler` of a whole queue: one for each kind that it takes, by the kind's name."""

    def __init__(self, settings: Settings, handlers: Mapping[Kind, RequestHandler]) -> None:
        self._settings = settings
        self._handlers = handlers

    def handle(self, attempt: Attempt) -> Outcome:
        """As the kind's. Raises `Failure` (invalid) for a kind that this queue doesn't take."""
        kind = kind_of(attempt.request, self._settings)
        if (handler := self._handlers.get(kind)) is None:
            raise invalid("message", _OTHER % kind)
        return handler.handle(attempt)

    def already_resolved(self, attempt: Attempt) -> Outcome | None:
        """As the kind's; nothing overtakes a kind that this queue doesn't take."""
        handler = self._handlers.get(kind_of(attempt.request, self._settings))
        return handler.already_resolved(attempt) if handler else None


def kind_of(request: Request, settings: Settings) -> Kind:
    """What kind of request it is."""
    if isinstance(request, TransformPart):
        return "part"
    if isinstance(request, Assembly):
        return "assembly"
    return "file" if isinstance(request, DroppedObject) and is_file(request, settings) else "call"
