"""The simulated AWS services of a run, as the pipeline connects them."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO
from urllib.parse import unquote

from sluice import keys
from sluice.inputs.strict_json import compact
from sluice.ports import Attribute
from sluice.processing.result import IDENTITY
from sluice.settings import CRASHED_RECEIVES, Settings
from tests.simulation.dice import Dice
from tests.simulation.endpoint import SimulatedEndpoint
from tests.simulation.faults import Faults
from tests.simulation.log import Log, client_in
from tests.simulation.processes import Processes
from tests.simulation.s3 import SimulatedBucket
from tests.simulation.sqs import SimulatedQueue
from tests.support.events import event_bridge_event, s3_event
from tests.support.fakes import with_settings

S3_SENDER = "AIDAEXAMPLES3SERVICE1"
ROLES = {name: f"AROAEXAMPLE{name.upper()}" for name in ("invoke", "part", "split", "assemble", "crashed")}

SETTINGS: Settings = with_settings(
    max_receive_count=5,
    max_body_bytes=24 * 1024,
    concurrent_calls=10,
    concurrent_functions=4,
    part_queue_url="part",
    internal_senders=tuple(ROLES[name] for name in ("invoke", "part", "split", "crashed")),
)
_FUNCTION_SECONDS = {"request": 90, "part": 180, "split": 900, "assembly": 900, "crashed": 60}
_VISIBILITY = 6  # times the function's timeout


@dataclass(frozen=True, slots=True)
class Upload:
    """A version of an object that a client has uploaded. `event` is its S3 event notification, as JSON."""

    key: str
    version_id: str
    body: bytes
    event: str
    at: float


@dataclass
class Services:
    """Buckets, queues and endpoint.

    `stored` is when a result was first stored, by its key and its owner. `events` counts S3 events that are under way,
    `actions` what clients and operators are still going to do. `unforeseen` are errors that the core did not foresee.
    """

    seed: int
    off: frozenset[str]
    file: IO[str] | None = None
    settings: Settings = SETTINGS
    stored: dict[tuple[str, str], float] = field(default_factory=dict)
    kills_of: Counter[str] = field(default_factory=Counter)  # by client: deliveries that were cut off
    buckets: dict[str, SimulatedBucket] = field(default_factory=dict)
    events: int = 0
    actions: int = 0
    unforeseen: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scheduler = Processes()
        self.dice = Dice(self.seed)
        self.faults = Faults(self.dice, self.off)
        self.log = Log(lambda: self.scheduler.time, self.file)
        self.endpoint = SimulatedEndpoint(self.faults)
        self.dead_letters = self._queue("dead-letter", None)
        self.crashed = self._queue("crashed", self.dead_letters)
        self.request = self._queue("request", self.crashed)
        self.part = self._queue("part", self.crashed)
        self.split = self._queue("split", self.crashed)
        self.assembly = self._queue("assembly", self.crashed)

    @property
    def working_queues(self) -> tuple[SimulatedQueue, ...]:
        """The queues that feed functions."""
        return self.request, self.part, self.split, self.assembly, self.crashed

    @property
    def queue_of_parts(self) -> SimulatedQueue:
        """The queue that the functions send parts to."""
        return next(queue for queue in self.working_queues if queue.name == self.settings.part_queue_url)

    @property
    def results(self) -> SimulatedBucket:
        """The results bucket."""
        return self.bucket(self.settings.results_bucket)

    def bucket(self, name: str) -> SimulatedBucket:
        """A bucket by its name. There is one for each name, with versions."""
        if name not in self.buckets:
            self.buckets[name] = SimulatedBucket(
                name,
                self.dice.identifier,
                is_input=name != self.settings.results_bucket,
                in_progress=lambda key: self.faults.conflicts(key, self.scheduler.time),
            )
        return self.buckets[name]

    def upload(
        self,
        key: str,
        body: bytes,
        metadata: Mapping[str, str],
        *,
        bucket: str = "input",
        notifies: bool = True,
    ) -> Upload:
        """PutObject by a client. S3 sends the event to the queue of the prefix: late, at times twice, in any order."""
        place = self.bucket(bucket)
        version_id = place.put(key, body, "binary/octet-stream", metadata, None)
        version = place.versions[key][-1]
        details = {"etag": version.etag, "version_id": version_id, "sequencer": version.sequencer}
        name = f"{bucket}/{key} {version_id}"
        by_rule, again, late = self.dice.fractions(f"event {name}", 3)
        made = event_bridge_event if by_rule < 0.15 else s3_event
        event = compact(made(key, bucket=bucket, size=len(body), **details))
        self.log.write(client_in(key), "upload", f"{bucket}/{key}", version_id)
        if notifies:
            queue = self.split if keys.is_dataset(key) and bucket == "input" else self.request
            copies = 1
            if self.faults.on("duplicates") and again < 0.03:
                copies = 2
                self.faults.counts["S3 events sent twice"] += 1
            for copy in range(copies):
                delay = 0.2 + (120 if late < 0.03 and self.faults.on("late") else 3) * self.dice.fraction(
                    f"delay {copy} {name}"
                )
                self.events += 1
                self.scheduler.after(delay, lambda: self._notify(queue, event, name))
        return Upload(key, version_id, body, event, self.scheduler.time)

    def at(self, seconds: float, act: Callable[[], object]) -> None:
        """Let a client or an operator do something, at a virtual time in seconds."""

        def run() -> None:
            self.actions -= 1
            act()

        self.actions += 1
        self.scheduler.timers.add(max(seconds, self.scheduler.time), run)

    def _notify(self, queue: SimulatedQueue, event: str, name: str) -> None:
        self.events -= 1
        queue.send(event, {}, sender_id=S3_SENDER, name=f"event {name}", client=client_in(name))

    def send(
        self,
        body: str,
        *,
        sender_id: str,
        name: str,
        attributes: Mapping[str, str] | None = None,
        queue: SimulatedQueue | None = None,
    ) -> str:
        """SendMessage by a client, to the request queue if it is None. Returns the message ID."""
        described = {key: Attribute(value) for key, value in (attributes or {}).items()}
        return (queue or self.request).send(body, described, sender_id=sender_id, name=name, client=client_in(name))

    def note_stored(self, key: str, metadata: Mapping[str, str]) -> None:
        """Note that a worker has stored an object in a bucket of results."""
        if key.endswith(keys.OUT) and IDENTITY in metadata:
            self.stored.setdefault((key, unquote(metadata[IDENTITY])), self.scheduler.time)

    def max_receive_count(self, queue: str) -> int:
        """The maxReceiveCount of a queue, and of the function that it invokes."""
        return self.settings.max_receive_count * (CRASHED_RECEIVES if queue == "crashed" else 1)

    def _queue(self, name: str, redrive_to: SimulatedQueue | None) -> SimulatedQueue:
        return SimulatedQueue(
            name,
            self.scheduler,
            self.faults,
            self.log,
            visibility_seconds=_VISIBILITY * _FUNCTION_SECONDS.get(name, 60),
            max_receive_count=self.max_receive_count(name),
            redrive_to=redrive_to,
        )
