"""Joins the core of a function on the ports that it is given: its handlers, its processor and its dispatcher."""

import functools
import random
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from sluice.concurrency import Semaphore
from sluice.ports import Bucket, Buckets, DeadLetterQueue, Endpoint, MessageSender, SourceQueue
from sluice.processing.attempt import Attempt
from sluice.processing.dispatcher import Dispatcher
from sluice.processing.file_failures import FileFailures
from sluice.processing.invoker import Invoker
from sluice.processing.memory import CallMemory, Memory
from sluice.processing.outcome import Outcome
from sluice.processing.outcomes import Outcomes
from sluice.processing.processor import Processor
from sluice.processing.router import Kind, RequestHandler, Router
from sluice.processing.settlement import Settlement
from sluice.settings import Settings
from sluice.timeouts import invocation_seconds
from sluice.transform.forwarder import PartForwarder


class _OnDemand:
    """A handler that `make` makes when it is first used.

    The modules of datasets take an eighth of a cold start, and most functions never need most of them.
    """

    def __init__(self, make: Callable[[], RequestHandler[Any]]) -> None:
        self.load = functools.cache(make)

    async def handle(self, attempt: Attempt[Any]) -> Outcome:
        """As the handler."""
        return await self.load().handle(attempt)

    async def already_resolved(self, attempt: Attempt[Any]) -> Outcome | None:
        """As the handler."""
        return await self.load().already_resolved(attempt)


def compose_core(
    settings: Settings,
    takes: Collection[Kind],
    *,
    endpoint: Endpoint,
    inputs: Buckets,
    results: Bucket,
    part_queue: MessageSender,
    assembly_queue: MessageSender,
    dead_letter_queue: DeadLetterQueue,
    source_queue: SourceQueue,
    memory: Memory,
    utc_now: Callable[[], datetime],
    rng: random.Random,
) -> tuple[Processor, Dispatcher]:
    """The processor of a function whose queue holds the kinds of requests in `takes`, and its dispatcher."""
    outcomes = Outcomes(results, inputs)
    needed_ms = invocation_seconds(settings.read_timeout_seconds) * 1000
    slots = Semaphore(settings.concurrent_calls)  # a part makes several calls at once, and other requests one each

    def parts() -> RequestHandler[Any]:
        from sluice.transform.part import PartHandler  # noqa: PLC0415 - as `_OnDemand` says

        return PartHandler(
            settings,
            endpoint,
            inputs,
            results,
            part_queue=part_queue,
            assembly_queue=assembly_queue,
            needed_ms=needed_ms,
            memory=memory,
            slots=slots,
            utc_now=utc_now,
            rng=rng,
        )

    def files() -> RequestHandler[Any]:
        from sluice.transform.splitter import Splitter  # noqa: PLC0415 - likewise

        return Splitter(
            settings,
            inputs,
            results,
            outcomes,
            part_queue=part_queue,
            assembly_queue=assembly_queue,
            utc_now=utc_now,
        )

    def assemblies() -> RequestHandler[Any]:
        from sluice.transform.assembler import Assembler  # noqa: PLC0415 - likewise

        return Assembler(inputs, results, outcomes)

    # Only the function of the queue of parts calls the endpoint for them, within the datasets' share.
    is_of_parts = settings.source_queue_url == settings.part_queue_url
    of_datasets: dict[Kind, _OnDemand] = {
        "file": _OnDemand(files),
        "part": _OnDemand(parts),
        "assembly": _OnDemand(assemblies),
    }
    if "call" not in takes:
        for kind in takes:
            of_datasets[kind].load()  # a function of datasets does so while it is initialized
    handlers: dict[Kind, RequestHandler[Any]] = {
        "call": Invoker(
            settings,
            endpoint,
            inputs,
            results,
            outcomes,
            memory=CallMemory(memory, settings.max_body_bytes),
            slots=slots,
            needed_ms=needed_ms,
            utc_now=utc_now,
        ),
        **of_datasets,
    }
    if not is_of_parts:
        handlers["part"] = PartForwarder(of_datasets["part"], part_queue)
    router = Router(settings, handlers, takes)
    failures = FileFailures(results, outcomes)
    settlement = Settlement(settings, router, failures, dead_letter_queue, source_queue, now=utc_now, rng=rng)
    processor = Processor(settings, router, outcomes, settlement, now=utc_now)
    return processor, Dispatcher(processor, concurrency=settings.concurrent_calls, needed_ms=needed_ms)
