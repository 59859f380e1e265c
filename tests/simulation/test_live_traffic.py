"""Drops under invoke/ while slow datasets run: they wait no longer than twice as long as alone, in virtual time."""

import itertools
import statistics
from dataclasses import replace

import pytest

from infrastructure.settings import Settings as DeploymentSettings
from sluice import keys
from sluice.concurrency import sleep
from sluice.inputs.identity import key_of_version
from tests.simulation.endpoint import Planned, SimulatedEndpoint
from tests.simulation.faults import KINDS
from tests.simulation.functions import SPECS, SimulatedFunction, Spec
from tests.simulation.services import S3_SENDER, SETTINGS, Services

_DROPS = 100
_EVERY_SECONDS = 1.0
_FILES = 2
_LINES = 300
_SINGLE = {"batch-strategy": "SingleRecord"}
_DATASET_CALL_SECONDS = 8.0


class _SlowForDatasets(SimulatedEndpoint):
    """A call for lines of a dataset takes 8 s."""

    def plan(self, endpoint_name: str, body: bytes, now: float) -> Planned:
        """As the endpoint, with another duration for datasets."""
        planned = super().plan(endpoint_name, body, now)
        return replace(planned, seconds=_DATASET_CALL_SECONDS) if body.startswith(b"line ") else planned


def _specs(deployment: DeploymentSettings) -> list[Spec]:
    """The functions with the concurrency of a deployment."""
    calls, part_calls = deployment.concurrent_calls, deployment.concurrent_part_calls
    invoke = (deployment.batch_size, deployment.maximum_concurrency, calls)
    part = (1, deployment.maximum_part_concurrency, part_calls)
    return [
        replace(spec, batch_size=batch, maximum_concurrency=functions, concurrent_calls=at_once)
        for spec in SPECS
        for batch, functions, at_once in [
            {"invoke": invoke, "part": part}.get(spec.name, (1, spec.maximum_concurrency, 1)),
        ]
    ]


def _waits(deployment: DeploymentSettings, *, datasets: bool) -> tuple[list[float], Services]:
    """How long each drop waits for its result, in seconds, from its event to its `.out`; and the services."""
    settings = SETTINGS.model_copy(
        update={
            "part_queue_url": "part" if deployment.dataset_requests else "request",
            "max_body_bytes": 1 << 20,
            "max_receive_count": deployment.retry.max_receive_count,
        }
    )
    services = Services(1, frozenset(KINDS), settings=settings)
    services.endpoint = _SlowForDatasets(services.faults)
    queues = {
        "invoke": services.request,
        "part": services.part,
        "split": services.split,
        "assemble": services.assembly,
        "crashed": services.crashed,
    }
    functions = [SimulatedFunction(services, spec, queues[spec.name]) for spec in _specs(deployment)]
    waits: list[float] = []

    async def main() -> None:
        if datasets:
            for number in range(_FILES):
                line = b"line %d %%d %s\n" % (number, b"x" * 1000)
                services.upload(f"transform/{number}.csv", b"".join(line % at for at in range(_LINES)), _SINGLE)
            await sleep(20)  # until the parts are under way
        else:
            await sleep(20)
        began: dict[str, float] = {}
        for number in range(_DROPS):
            upload = services.upload(f"invoke/{number}.csv", b"drop %d" % number, {}, notifies=False)
            began[upload.version_id] = services.scheduler.time
            services.request.send(upload.event, {}, sender_id=S3_SENDER, name=f"event {number}")
            await sleep(_EVERY_SECONDS)
        if datasets:
            assert services.part.messages or services.request.messages, "the datasets run all the time"
        while any(queue.messages for queue in queues.values()) or any(function.running for function in functions):
            await sleep(10)
        for number, (version_id, at) in enumerate(began.items()):
            key = f"invoke/{number}.csv"
            waits.append(services.stored[key + keys.OUT, key_of_version("input", key, version_id)] - at)

    services.scheduler.run(main())
    assert not services.unforeseen
    if datasets:
        for number in range(_FILES):
            out = services.results.current(f"transform/{number}.csv.out")
            assert out is not None
            assert out.body is not None
            assert out.body.count(b"\n") == _LINES
    return waits, services


def _most_at_once(services: Services) -> int:
    """The most calls that were under way at once."""
    changes = sorted(change for call in services.endpoint.calls for change in ((call.began, 1), (call.ended, -1)))
    return max(itertools.accumulate(change for _, change in changes))


def _deployment(**settings: int) -> DeploymentSettings:
    return DeploymentSettings.from_context({"endpoint_names": ["wine"]}, settings)


@pytest.mark.parametrize("concurrent_requests", [4, 5, 20])
def test_a_drop_waits_no_longer_than_twice_as_long_as_alone_while_slow_datasets_run(concurrent_requests: int) -> None:
    deployment = _deployment(concurrent_requests=concurrent_requests)
    alone, _ = _waits(deployment, datasets=False)
    beside, services = _waits(deployment, datasets=True)
    assert len(alone) == len(beside) == _DROPS
    assert all(one <= 2 * other for one, other in zip(beside, alone, strict=True))
    assert _most_at_once(services) <= concurrent_requests


@pytest.mark.parametrize("concurrent_requests", [2, 3, 20])
def test_without_a_share_of_their_own_datasets_share_the_queue_and_drops_wait(
    concurrent_requests: int,
) -> None:
    deployment = _deployment(concurrent_requests=concurrent_requests, concurrent_dataset_requests=0)
    beside, services = _waits(deployment, datasets=True)
    assert statistics.median(beside) > _DATASET_CALL_SECONDS / 2
    assert _most_at_once(services) <= concurrent_requests


@pytest.mark.parametrize(("before", "after"), [("request", "part"), ("part", "request")])
def test_parts_on_the_queue_of_an_earlier_deployment_are_answered(before: str, after: str) -> None:
    """An upgrade from a version without the part queue, and a change of `concurrent_dataset_requests` to 0 and back."""
    services = Services(1, frozenset(KINDS))
    services.settings = SETTINGS.model_copy(update={"part_queue_url": before})
    queues = {"split": services.split, "assemble": services.assembly, "crashed": services.crashed}
    of = {spec.name: spec for spec in SPECS}
    deployed = [SimulatedFunction(services, of[name], queue) for name, queue in queues.items()]
    lines = b"".join(b"line %d %s\n" % (number, b"x" * 1000) for number in range(2000))

    async def main() -> None:
        services.upload("transform/a.csv", lines, {})
        await sleep(10)
        assert len(services.queue_of_parts.messages) > 1
        services.settings = SETTINGS.model_copy(update={"part_queue_url": after})
        deployed.append(SimulatedFunction(services, of["invoke"], services.request))
        deployed.append(SimulatedFunction(services, of["part"], services.part))
        for function in deployed:
            function.poll()
        await sleep(100)

    services.scheduler.run(main())
    out = services.results.current("transform/a.csv.out")
    assert out is not None
    assert out.body is not None
    assert out.body.count(b"\n") == 2000
    assert not services.dead_letters.messages
    callers = {call.worker.name.partition("-")[0] for call in services.endpoint.calls}
    assert callers == {"part" if after == "part" else "invoke"}, "only the function of the queue of parts calls"
