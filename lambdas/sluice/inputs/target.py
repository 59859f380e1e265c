"""What a call is for: an endpoint, or the part of it that the message selects."""

from typing import NamedTuple

from sluice.inputs.invocation import endpoint_of
from sluice.inputs.message import Message
from sluice.inputs.requests import Request, SentMessage
from sluice.settings import Settings


class Target(NamedTuple):
    """An endpoint, and which of its components, variants, models and containers a message selects.

    Each of them has its own instances or its own place in memory, so that it can refuse calls that the others take
    (SageMaker API reference, InvokeEndpoint).
    """

    endpoint_name: str
    inference_component_name: str | None = None
    target_variant: str | None = None
    target_model: str | None = None
    target_container_hostname: str | None = None


def target_of(request: Request, endpoint_name: str | None, settings: Settings) -> Target:
    """The target of a request, as far as its message names it. `endpoint_name` is that of its identity.

    The metadata of an object may name another one, which is not known before the object is read. Raises `Failure`
    (invalid) for a message that breaks a rule, or for an endpoint that the deployment does not list.
    """
    if not isinstance(request, SentMessage):
        return Target(endpoint_name or settings.default_endpoint_name)
    message: Message = request.valid()
    return Target(
        endpoint_of(message, settings),
        message.inference_component_name,
        message.target_variant,
        message.target_model,
        message.target_container_hostname,
    )
