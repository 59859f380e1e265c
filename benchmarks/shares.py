"""`make shares`: the calls that a file with bad records takes, and the good records that are lost, by their share.

The functions' own code runs in virtual time, on buckets and queues in memory. The model answers as many records a call
as it gets, and refuses a call with a bad one. Writes the table of docs/transform.md.
"""

import math
import random
import sys
from dataclasses import dataclass
from pathlib import Path

from sluice.concurrency import now, sleep, spawn
from sluice.failures import Operation
from sluice.ports import Inference
from tests.support.fakes import FUNCTION, Answer, Call, delivery, service_error
from tests.support.transform import Transforms
from tests.support.virtual_time import run

PAGE = Path(__file__).parents[1] / "docs" / "transform.md"
BEGIN, END = "<!-- shares -->\n", "<!-- end of shares -->"
ROWS = 50_000
SHARES = (0.001, 0.005, 0.01, 0.05, 0.2, 0.5, 0.9, 1.0)
MODELS = {"0 s": 0.0, "0.1 s": 0.1}
_KEY = "transform/wine/rows.csv"
_FUNCTIONS = 2
_FUNCTION_SECONDS = 180.0
_MOST_RECEIVES = 3
_REFUSES = service_error(Operation.INVOKE, "ModelError", "a bad record", status=424, original_status_code=400)


@dataclass(frozen=True)
class Found:
    """What one file came to."""

    rows: int
    bad: int
    calls: int
    lost: int  # good records without their own answer
    not_alone: int  # refused records that were not sent alone
    failed: bool

    @property
    def bound(self) -> int:
        """The calls that finding the bad ones takes at most: 2·k·log₂(n/k) + 2·k."""
        return math.floor(2 * self.bad * math.log2(self.rows / self.bad) + 2 * self.bad)


def measure(share: float, seconds: float, rows: int = ROWS) -> Found:
    """Transform a file whose bad records are spread at random, with a model that takes `seconds` for a call."""
    bad = set(random.Random(share).sample(range(rows), round(share * rows)))  # noqa: S311
    lines = [b"x%d" % number if number in bad else b"%d" % number for number in range(rows)]
    world = Transforms(concurrent_calls=10, concurrent_functions=_FUNCTIONS)

    async def answer(call: Call) -> Answer:
        await sleep(seconds)
        return _REFUSES if b"x" in call.body else Inference(call.body, "text/csv")

    world.endpoint.answer = answer
    world.drop(_KEY, b"".join(line + b"\n" for line in lines))
    run(_deliver(world))
    alone = {call.body.strip() for call in world.endpoint.calls if call.body.count(b"\n") == 1}
    failed = f"{_KEY}.err" in world.results.objects
    answers = [] if failed else world.out(_KEY).split(b"\n")[:-1]
    refused = [lines[error["Line"] - 1] for error in world.errors(_KEY) if error["ErrorCode"] != "Untried"]
    return Found(
        rows=rows,
        bad=len(bad),
        calls=len(world.endpoint.calls),
        lost=sum(line != mine for line, mine in _good(lines, answers, bad)),
        not_alone=sum(line not in alone for line in refused),
        failed=failed,
    )


def _good(lines: list[bytes], answers: list[bytes], bad: set[int]) -> list[tuple[bytes, bytes | None]]:
    given = [*answers, *[None] * (len(lines) - len(answers))]
    return [(line, given[number]) for number, line in enumerate(lines) if number not in bad]


async def _deliver(world: Transforms) -> None:
    """Deliver messages to the functions, as SQS does, until the queues are empty."""
    queues = (world.splits, world.requests, world.assemblies)
    receives: dict[str, int] = {}

    async def work() -> None:
        while waiting := [one for one in queues if one.bodies]:
            queue = waiting[0]
            body = queue.bodies.pop(0)
            receives[body] = receives.get(body, 0) + 1
            if not await _acknowledged(world, body, min(_MOST_RECEIVES, receives[body])):
                queue.bodies.append(body)

    while any(one.bodies for one in queues):
        for task in [spawn(work(), f"{number}") for number in range(_FUNCTIONS)]:
            await task


async def _acknowledged(world: Transforms, body: str, receive_count: int) -> bool:
    ends, core = now() + _FUNCTION_SECONDS, world.processor().core
    message = delivery(body, message_id=body, sender_id=FUNCTION, receive_count=receive_count)
    parsed = core.parse(message, lambda: (ends - now()) * 1000)
    return all(one.acknowledged for one in await core.process(parsed))


def table() -> str:
    """The table, in Markdown."""
    names = list(MODELS)
    head = " | ".join(f"calls, model of {name}" for name in names)
    lines = [f"| bad | {head} | bound | good lost | refused, not tried alone |", "| ---: " * (len(names) + 4) + "|"]
    for share in SHARES:
        found = [measure(share, seconds) for seconds in MODELS.values()]
        first = found[0]
        calls = " | ".join(f"{one.calls:,d}" for one in found)
        bound = "the file fails" if first.failed else f"{first.bound:,d}"
        lost, not_alone = sum(one.lost for one in found), sum(one.not_alone for one in found)
        lines.append(f"| {100 * share:g} % | {calls} | {bound} | {lost} | {not_alone} |")
        sys.stdout.write(lines[-1] + "\n")
        sys.stdout.flush()
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure, and write the table into the page."""
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + table() + END + after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
