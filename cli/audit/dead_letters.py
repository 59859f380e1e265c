"""The dead letters that are on the queue, if they are to be received."""

from collections.abc import Iterable

from cli.dlq.dead_letter import DeadLetter
from sluice.failures import Failure
from sluice.inputs import identity
from sluice.inputs.envelopes import parse
from sluice.inputs.requests import Ignorable, SentMessage
from sluice.keys import ERR
from sluice.settings import Settings

Failed = tuple[str, str]
"""The key of the `.err` of a dead-lettered request, and its owner."""


def failed_requests(dead_letters: Iterable[DeadLetter], settings: Settings) -> set[Failed]:
    """The requests of `dead_letters`."""
    return {one for dead_letter in dead_letters for one in _failed(dead_letter, settings)}


def _failed(dead_letter: DeadLetter, settings: Settings) -> Iterable[Failed]:
    try:
        requests = parse(dead_letter.body)
    except Failure:
        requests = []
    for request in requests or [SentMessage({})]:
        if isinstance(request, Ignorable):
            continue
        try:
            found = identity.of(request, settings, dead_letter)
        except Failure:
            found = identity.of_delivery(dead_letter)
        yield from ((name + ERR, found.owner) for name in found.error_names)
