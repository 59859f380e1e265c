"""The simulated endpoint: a model whose answer is known for each body, and the failures of a real one."""

import hashlib
from dataclasses import dataclass, field

from sluice.failures import Operation, ServiceError
from sluice.ports import Inference
from tests.simulation.faults import Faults
from tests.simulation.log import client_in
from tests.simulation.worker import Worker

# The words in a body that make the model behave in a way of its own.
REFUSED, FAILED, TIRED, WAVERING, SLOW, LARGE, ODD, VARYING = (
    b"-refused",  # the model answers 400
    b"-failed",  # the model answers 500
    b"-tired",  # the model answers 400 to the first calls, and is well later
    b"-wavering",  # it answers 400 to every other call, after seconds
    b"-slow",  # it takes most of the minute that a container has
    b"-large",  # the answer is large
    b"-odd",  # the answer has headers that S3 refuses as metadata
    b"-varying",  # the answer to each call is another one
)
_TIRED_CALLS = 2
_LINE = b"line "

# Shares of the calls that fail, as an error code, its status, and its message.
_FAILURES: tuple[tuple[float, str, int, str], ...] = (
    (0.04, "ThrottlingException", 400, "Rate exceeded"),
    (0.02, "ServiceUnavailable", 503, "Service Unavailable"),
    (0.01, "ModelNotReadyException", 429, "Model is not ready"),
    (0.01, "ValidationError", 400, "Inference Component has no capacity to process this request"),
    (0.003, "ValidationError", 400, "Endpoint wine of account 000000000000 not found."),
    (0.02, "InternalFailure", 500, "internal"),
    (0.005, "InternalDependencyException", 530, "a dependency failed"),
    (0.003, "AccessDeniedException", 403, "not authorized"),
    (0.003, "ExpiredTokenException", 403, "the token has expired"),
    (0.004, "ConnectionClosedError", 0, "the connection was closed before there was a response"),
)
_LOST = 0.006  # of the answers: the response does not come
_CUT = 0.004  # of the answers: the response ends early
_CONTAINER_SECONDS = 60.0


@dataclass(slots=True)
class Call:
    """A call that the model has answered, and that is billed.

    `key` is its InferenceId. `lost` says that no response came to the caller. `worker` is the caller.
    """

    key: str
    client: str
    began: float
    ended: float
    worker: Worker
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """What a call comes to: after `seconds`, an answer or an error. `is_answered` says that the model has answered."""

    seconds: float
    answer: Inference | ServiceError
    is_answered: bool = False


@dataclass
class SimulatedEndpoint:
    """`calls` are those that the model has answered."""

    faults: Faults
    calls: list[Call] = field(default_factory=list)
    made: int = 0
    _answered: dict[bytes, list[bytes]] = field(default_factory=dict)

    def plan(self, endpoint_name: str, body: bytes, now: float) -> Planned:
        """What a call that begins now comes to."""
        self.made += 1
        digest = hashlib.sha256(body).digest()
        name = f"call {endpoint_name} {digest.hex()}"
        number = self.faults.number(name)
        failing, time, long, lost = self.faults.dice.fractions(f"{name} {number}")
        seconds = 0.02 + 0.4 * time * time
        if self.faults.is_storm(endpoint_name, now):
            return Planned(seconds, _error("ThrottlingException", 400, "Rate exceeded"))
        if self.faults.on("endpoint"):
            for share, code, status, message in _FAILURES:
                if failing < share:
                    self.faults.counts["InvokeEndpoint calls that fail"] += 1
                    return Planned(seconds, _error(code, status, message))
                failing -= share
        if WAVERING in body:
            seconds = 0.2 + 3 * time
        if SLOW in body or (long < 0.004 and self.faults.on("late")):
            seconds = 5 + 64 * time
        if seconds > _CONTAINER_SECONDS:
            return Planned(
                _CONTAINER_SECONDS, _model(0, "Your invocation timed out while waiting for a response from container")
            )
        found = self._predict(body, number, digest)
        if isinstance(found, ServiceError):
            return Planned(seconds, found)
        if self.faults.on("endpoint") and lost < _LOST + _CUT:
            self.faults.counts["InvokeEndpoint responses lost"] += 1
            # A cut response is noticed at once, a lost one when the time is over.
            code, until = ("ReadTimeoutError", 3600.0) if lost < _LOST else ("IncompleteReadError", seconds)
            return Planned(until, ServiceError(Operation.INVOKE, code, "no complete response"), is_answered=True)
        return Planned(seconds, found, is_answered=True)

    def note(self, key: str, body: bytes, began: float, ended: float, worker: Worker, *, lost: bool) -> None:
        """Note a call that the model has answered."""
        self.calls.append(Call(key, client_in(body[:200].decode(errors="replace")), began, ended, worker, lost))

    def answers_to(self, body: bytes) -> list[bytes]:
        """All answers that the model has given to a body."""
        return self._answered.get(hashlib.sha256(body).digest(), [])

    def _predict(self, body: bytes, number: int, digest: bytes) -> Inference | ServiceError:
        if body.startswith(_LINE):
            return answer_to_lines(body)
        is_ill = (TIRED in body and number < _TIRED_CALLS) or (WAVERING in body and number % 2)
        if REFUSED in body or is_ill:
            return _model(400, "the model refuses this")
        if FAILED in body:
            return _model(500, "the model failed")
        text = b"answer to " + digest.hex().encode()
        if VARYING in body:
            text += b" %d" % number
        if LARGE in body:
            text += b" " * 100_000
        answers = self._answered.setdefault(digest, [])
        if text not in answers:
            answers.append(text)
        if ODD in body:
            return Inference(text, "text/pl\x01ain", "va\nriant", "ü" * 900 + "\r\nx: y", "s" * 3000, "ends")
        return Inference(text, "text/plain", "AllTraffic", f"Trace ID: {number}")


def answer_to_line(line: bytes) -> bytes:
    """The model's answer to a line of a dataset."""
    return hashlib.sha256(line).hexdigest()[:16].encode()


def answer_to_lines(body: bytes) -> Inference | ServiceError:
    """The model's answer to lines of a dataset: one for each, unless it refuses one of them."""
    lines = body.removesuffix(b"\n").split(b"\n")
    if any(line.endswith(REFUSED) for line in lines):
        return _model(400, "a line is refused")
    return Inference(b"\n".join(answer_to_line(line) for line in lines) + b"\n", "text/csv")


def _model(status: int, message: str) -> ServiceError:
    return ServiceError(
        Operation.INVOKE,
        "ModelError",
        message,
        status=424,
        original_status_code=status,
        original_message=message,
        log_stream_arn="arn:aws:logs:us-east-1:000000000000:log-group:wine",
    )


def _error(code: str, status: int, message: str) -> ServiceError:
    return ServiceError(Operation.INVOKE, code, message, status=status or None)
