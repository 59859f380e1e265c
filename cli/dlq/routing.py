"""The message that is sent for a dead letter: its queue, its body and its attributes."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cli.dlq.dead_letter import REASON_ATTRIBUTES, DeadLetter
from cli.errors import CliError, ExitCode
from cli.lookup.failures import ErrorKey
from cli.sqs import OutgoingMessage, attribute_bytes
from sluice import keys
from sluice.failures import Failure, invalid
from sluice.inputs import identity
from sluice.inputs.envelopes import parse
from sluice.inputs.internal_messages import body_of
from sluice.inputs.invocation import endpoint_of, inline_body
from sluice.inputs.message import PARAMETERS, validate
from sluice.inputs.requests import (
    Assembly,
    DroppedObject,
    Ignorable,
    Input,
    SentMessage,
    TransformPart,
    TransformRetry,
)
from sluice.inputs.strict_json import compact
from sluice.processing.router import Kind, kind_of
from sluice.settings import Settings

_IDENTITY_ATTRIBUTES = ("InferenceId", "TraceId")
_MAX_ATTRIBUTES = 10  # SQS limit per message
_IDENTIFIES = "it identifies the request"
_NAMES_RESULT = "it names the result"
_OTHER_REQUEST = "a request with another body is another request; send it with `sluice send`"
_FIXED_PARAMETERS = {
    "InferenceId": _IDENTIFIES,
    "TraceId": _IDENTIFIES,
    "Filename": _NAMES_RESULT,
    "S3OutputPathExtension": _NAMES_RESULT,
    "Body": _OTHER_REQUEST,
    "BodyBase64": _OTHER_REQUEST,
    "InputLocation": _OTHER_REQUEST,
}


def parse_overrides(assignments: tuple[str, ...]) -> dict[str, str | None]:
    """The values of `--set` by parameter; None removes the parameter. Raises `CliError` for one that can't be set."""
    overrides: dict[str, str | None] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not key or not equals:
            raise CliError(f"--set: {assignment!r} must be Key=value, or Key= to remove the key", ExitCode.USAGE)
        if key in _FIXED_PARAMETERS:
            raise CliError(f"--set: {key} can't be set: {_FIXED_PARAMETERS[key]}", ExitCode.USAGE)
        if value and key not in PARAMETERS:
            raise CliError(f"--set: {key} is not a parameter; known are {', '.join(PARAMETERS)}", ExitCode.USAGE)
        overrides[key] = value or None
    return overrides


@dataclass(frozen=True, slots=True)
class MessageBuilder:
    """Builds the message that is sent for a dead letter.

    `queue_url` returns the queue for a kind of request. `overrides` are the new values of message parameters.
    `max_bytes` is the size limit of a message.
    """

    settings: Settings
    queue_url: Callable[[Kind], str]
    overrides: Mapping[str, str | None]
    max_bytes: int

    def build(self, dead_letter: DeadLetter, sender_attributes: Mapping[str, str]) -> OutgoingMessage:
        """The message, with the InferenceId and TraceId of the request.

        As many of `sender_attributes`, the attributes that the sender gave the message, are added as there is room for.
        The attributes with the reason of the failure are removed. Raises `Failure` (invalid) when the message is not
        valid with the overrides.
        """
        inputs = _parse(dead_letter.body)
        if (file := dataset_of(inputs)) is not None and not self.overrides:
            # The functions alone may send parts. The split function does so again, for the records without an answer.
            return OutgoingMessage(self.queue_url("file"), body_of(TransformRetry(file)), is_shared=True)
        body = self._with_overrides(parse(dead_letter.body)) if self.overrides else dead_letter.body
        identity = {
            name: dead_letter.attributes[name] for name in _IDENTITY_ATTRIBUTES if name in dead_letter.attributes
        }
        # A message that SQS itself moved has kept its ID, by which it may have been answered.
        identity.setdefault("InferenceId", dead_letter.message_id)
        attributes = dict(identity)
        room = self.max_bytes - OutgoingMessage("", body, identity).size
        for name, value in sender_attributes.items():
            size = attribute_bytes(name, value)
            if name not in REASON_ATTRIBUTES and value and len(attributes) < _MAX_ATTRIBUTES and size <= room:
                attributes[name] = value
                room -= size
        return OutgoingMessage(self.queue_url(self._kind(inputs)), body, attributes)

    def errors(self, dead_letter: DeadLetter) -> list[ErrorKey]:
        """The `.err` objects that the requests of a dead letter may have."""
        found: list[ErrorKey] = []
        for request in _parse(dead_letter.body) or [SentMessage({})]:
            with suppress(Failure):
                if not isinstance(request, Ignorable):
                    one = identity.of(request, self.settings, dead_letter)
                    found += [ErrorKey(name + keys.ERR, one.owner) for name in one.error_names]
        return list(dict.fromkeys(found))

    def _kind(self, inputs: list[Input]) -> Kind:
        """The kind of the request. A message with several kinds, or none, is for the request queue."""
        kinds = {kind_of(request, self.settings) for request in inputs if not isinstance(request, Ignorable)}
        return kinds.pop() if len(kinds) == 1 else "call"

    def _with_overrides(self, inputs: list[Input]) -> str:
        messages = [message for message in inputs if isinstance(message, SentMessage)]
        if len(messages) != 1:
            raise invalid("message", "only a sent message has parameters; those of an object are in its metadata")
        raw: dict[str, Any] = {key: value for key, value in messages[0].raw.items() if key not in self.overrides}
        for key, value in self.overrides.items():
            if value is not None:
                raw[key] = int(value) if key == "RequestTTLSeconds" and value.isdecimal() else value
        message = validate(raw)
        endpoint_of(message, self.settings)
        if message.input_location is None:
            inline_body(message, self.settings)  # a body that no call can carry
        return compact(raw)


def dataset_of(inputs: Sequence[Input]) -> DroppedObject | None:
    """The dataset that a message between the functions is about; None for any other message."""
    return next((one.file for one in inputs if isinstance(one, TransformPart | Assembly | TransformRetry)), None)


def sender_attributes_in(document: Mapping[str, Any]) -> dict[str, str]:
    """The sender's attributes in an `.err` document."""
    attributes = document.get("MessageAttributes")
    if not isinstance(attributes, dict):
        return {}
    return {name: value for name, value in attributes.items() if isinstance(value, str)}


def _parse(body: str) -> list[Input]:
    """The requests in a message; empty when it can't be parsed."""
    try:
        return parse(body)
    except Failure:
        return []
