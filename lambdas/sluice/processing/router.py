"""Which handler processes which request. Each function takes some kinds of requests, and refuses the others."""

from collections.abc import Collection, Mapping
from typing import Any, Literal, Protocol, TypeVar

from sluice import keys
from sluice.failures import invalid
from sluice.inputs.requests import Assembly, DroppedObject, Request, SentMessage, TransformPart, TransformRetry
from sluice.processing.attempt import Attempt
from sluice.processing.outcome import Outcome
from sluice.settings import Settings

Kind = Literal["call", "file", "part", "assembly"]
"""One InvokeEndpoint call; a dataset to split; a part of it to answer; its parts to join."""

_R_contra = TypeVar("_R_contra", bound=Request, contravariant=True)


class RequestHandler(Protocol[_R_contra]):
    """Processes the requests of one kind."""

    async def handle(self, attempt: Attempt[_R_contra]) -> Outcome:
        """Bring a request to its outcome. Raises `Failure`, `ServiceError`, and any error of a bug."""

    async def already_resolved(self, attempt: Attempt[_R_contra]) -> Outcome | None:
        """The outcome when the request has been answered or superseded, so that a failure no longer matters.

        Raises `ServiceError`.
        """


class Router:
    """The `RequestHandler` of a queue that holds the kinds in `takes`; all that have a handler, if it is None.

    The other handlers say whether a request that was sent to the wrong queue is answered already.
    """

    def __init__(
        self, settings: Settings, handlers: Mapping[Kind, RequestHandler[Any]], takes: Collection[Kind] | None = None
    ) -> None:
        self._settings = settings
        self._handlers = handlers
        self._takes = handlers.keys() if takes is None else takes

    async def handle(self, attempt: Attempt[Request]) -> Outcome:
        """As the handler of the kind. Raises `Failure` (invalid) for a kind that this queue does not hold."""
        return await self._handler(attempt.request).handle(attempt)

    def check(self, request: Request) -> None:
        """Raises `Failure` (invalid) for a kind that this queue does not hold."""
        self._handler(request)

    def _handler(self, request: Request) -> RequestHandler[Any]:
        kind = kind_of(request, self._settings)
        if kind not in self._takes:
            raise invalid("message", f"is of a kind that this queue does not take: {kind}")
        return self._handlers[kind]

    async def already_resolved(self, attempt: Attempt[Request]) -> Outcome | None:
        """As the handler of the kind, which may be one that this queue does not hold; None if there is no handler."""
        handler = self._handlers.get(kind_of(attempt.request, self._settings))
        return await handler.already_resolved(attempt) if handler else None


def kind_of(request: Request, settings: Settings) -> Kind:
    """The kind of a request."""
    match request:
        case SentMessage():
            return "call"
        case DroppedObject(bucket=bucket, key=key):
            return "file" if bucket == settings.input_bucket and keys.is_dataset(key) else "call"
        case TransformRetry():
            return "file"
        case TransformPart():
            return "part"
        case Assembly():
            return "assembly"
