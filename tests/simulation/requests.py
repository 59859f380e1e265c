"""What the clients have asked for: each request, and the outcomes that it may have."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote

from sluice import keys
from sluice.inputs.identity import owner_of_message
from tests.simulation.services import Upload

_SAFE = "!_.*'()-"


@dataclass(eq=False)
class Request:
    """A request that a message asks for, or several messages with one InferenceId.

    `owner` is what its outcome is stored under: its InferenceId, or else its message ID, with its Filename. `answers`
    are the bodies whose answer it may have; none if it must fail. `codes` are the reasons for which it may fail,
    besides those that any request may have. `messages` are the bodies of its messages by message ID. `call_key` is the
    InferenceId of its calls.
    """

    client: str
    kind: str
    owner: str
    out: str
    err: str
    call_key: str
    answers: set[bytes] = field(default_factory=set)
    codes: set[str] = field(default_factory=set)
    messages: dict[str, str] = field(default_factory=dict)


@dataclass(eq=False)
class Object:
    """An object that is uploaded once or several times. `codes` are reasons for which it may fail, as in `Request`.

    `is_deleted` says that the client has deleted it.
    """

    client: str
    kind: str
    bucket: str
    key: str
    name: str
    uploads: list[Upload] = field(default_factory=list)
    codes: set[str] = field(default_factory=set)
    trace_ids: dict[str, str] = field(default_factory=dict)  # by version ID
    lines: dict[str, list[bytes]] = field(default_factory=dict)  # of a dataset, by version ID
    is_deleted: bool = False


@dataclass
class Registry:
    """All requests of a run. `forged` are the message IDs of the hostile sender."""

    requests: dict[tuple[str, str], Request] = field(default_factory=dict)  # by owner and name of the result
    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    sharing: Counter[str] = field(default_factory=Counter)  # the number of requests by the InferenceId of their calls
    attacks: dict[str, list[tuple[float, bytes]]] = field(default_factory=lambda: defaultdict(list))
    forged: set[str] = field(default_factory=set)
    uploads: int = 0

    def sent(
        self,
        message_id: str,
        body: str,
        *,
        client: str,
        kind: str,
        inference_id: str | None = None,
        trace_id: str | None = None,
        filename: str | None = None,
        folder: str = "",
        answers: Iterable[bytes] = (),
        codes: Iterable[str] = (),
    ) -> None:
        """Note a message that a client has sent. It is a new request, or one that is sent again."""
        request_id = inference_id or message_id
        prefix = f"{folder}/" if folder else ""
        name = f"messages/{prefix}{quote(request_id, safe=_SAFE)}"
        err = f"{name}@{filename}{keys.ERR}" if filename else f"{name}{keys.ERR}"
        out = f"files/{prefix}{filename}{keys.OUT}" if filename else f"{name}{keys.OUT}"
        owner = owner_of_message(request_id, out.removesuffix(keys.OUT))
        if (owner, out) not in self.requests:
            call_key = inference_id or trace_id or message_id
            self.requests[owner, out] = Request(client, kind, owner, out, err, call_key)
            self.sharing[call_key] += 1
        one = self.requests[owner, out]
        one.answers.update(answers)
        one.codes.update(codes)
        one.messages[message_id] = body

    @property
    def count(self) -> int:
        """How many requests there are: those of messages, and one for each upload."""
        return len(self.requests) + sum(len(one.uploads) for one in self.objects.values())
