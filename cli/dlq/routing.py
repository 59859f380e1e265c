"""Where a dead letter belongs, and what it takes along."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cli.dlq.letter import REASON, Letter
from cli.errors import CliError, ExitCode
from cli.sending import Outgoing, attribute_size
from sluice.failures import Failure, invalid
from sluice.inputs import identity as identities
from sluice.inputs.envelopes import parse
from sluice.inputs.invocation import endpoint_of
from sluice.inputs.message import PARAMETERS, compact, validate
from sluice.inputs.requests import Ignorable, Input, SentMessage
from sluice.keys import ERR
from sluice.processing.router import Kind, kind_of
from sluice.settings import Settings

_IDENTITY = ("InferenceId", "TraceId")
_MOST_ATTRIBUTES = 10  # SQS's, of a message
_FIXED = {
    "InferenceId": "it says which request this is",
    "TraceId": "it says which request this is",
    "Filename": "it names the result",
    "S3OutputPathExtension": "it names the result",
    "Body": "a request with another body is another request: send it with `sluice send`",
    "BodyBase64": "a request with another body is another request: send it with `sluice send`",
    "InputLocation": "a request with another body is another request: send it with `sluice send`",
}


def overrides(given: tuple[str, ...]) -> dict[str, str | None]:
    """`--set` values by key; None takes the key out. Raises `CliError` for what can't be set."""
    parsed: dict[str, str | None] = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not key or not equals:
            raise CliError(f"--set: {one!r} must be Key=value, or Key= to take the key out", ExitCode.USAGE)
        if key in _FIXED:
            raise CliError(f"--set: {key} can't be set: {_FIXED[key]}", ExitCode.USAGE)
        if value and key not in PARAMETERS:
            raise CliError(f"--set: {key} is not a parameter; known are {', '.join(PARAMETERS)}", ExitCode.USAGE)
        parsed[key] = value or None
    return parsed


@dataclass(frozen=True, slots=True)
class Redriver:
    """Makes of a dead letter the message that is sent again.

    `queues` gives the URL of the queue that takes a kind. `changes` are overrides of the message's parameters.
    """

    settings: Settings
    queues: Callable[[Kind], str]
    changes: Mapping[str, str | None]
    max_bytes: int

    def message(self, letter: Letter, own: Mapping[str, str]) -> Outgoing:
        """The message, with its identity and, as far as there is room, `own`: the attributes that its sender gave it.

        The functions read nothing but InferenceId and TraceId. The reason stays behind: it is of the failure, not of
        the request. Raises `Failure` (invalid) when the overrides don't suit it.
        """
        inputs = _read(letter.body)
        body = self._changed(inputs) if self.changes else letter.body
        attributes = {name: letter.attributes[name] for name in _IDENTITY if name in letter.attributes}
        room = self.max_bytes - Outgoing("", body, attributes).size
        for name, value in own.items():
            needed = attribute_size(name, value)
            if name not in REASON and value and len(attributes) < _MOST_ATTRIBUTES and needed <= room:
                attributes[name] = value
                room -= needed
        return Outgoing(self.queues(self._kind(inputs)), body, attributes)

    def error_key(self, letter: Letter) -> str | None:
        """The key of the letter's `.err`; None where it has no place for one."""
        try:
            requests = [one for one in _read(letter.body) or [SentMessage({})] if not isinstance(one, Ignorable)]
            return identities.of(requests[0], self.settings, letter.delivery).error_name + ERR
        except (Failure, IndexError):
            return None

    def _kind(self, inputs: list[Input]) -> Kind:
        """What kind the message is of. The request queue takes what has several kinds in it, and what can't be read."""
        kinds = {kind_of(one, self.settings) for one in inputs if not isinstance(one, Ignorable)}
        return kinds.pop() if len(kinds) == 1 else "call"

    def _changed(self, inputs: list[Input]) -> str:
        sent = [one for one in inputs if isinstance(one, SentMessage)]
        if len(sent) != 1:
            raise invalid("message", "only a sent message has parameters; for an object, they are its metadata")
        raw: dict[str, Any] = {key: value for key, value in sent[0].raw.items() if key not in self.changes}
        for key, value in self.changes.items():
            if value is not None:
                raw[key] = int(value) if key == "RequestTTLSeconds" and value.isdecimal() else value
        endpoint_of(validate(raw), self.settings)
        return compact(raw)


def _read(body: str) -> list[Input]:
    """What the body asks for; nothing where it can't be read."""
    try:
        return parse(body)
    except Failure:
        return []


def own_attributes(document: bytes, letter: Letter) -> dict[str, str]:
    """The attributes that the sender gave the message, as they stand in its `.err`; none where that is of another."""
    try:
        error = json.loads(document)
        own = error["MessageAttributes"] if error["InferenceId"] == letter.attributes.get("InferenceId") else {}
        return {name: value for name, value in own.items() if isinstance(value, str)}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
