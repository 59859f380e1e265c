"""Joins the core of a function on the ports that it is given: its handlers, its processor and its dispatcher."""

import random
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from sluice.concurrency import Semaphore
from sluice.ports import Bucket, Buckets, DeadLetterQueue, Endpoint, MessageSender, SourceQueue
from sluice.processing.dispatcher import Dispatcher
from sluice.processing.file_failures import FileFailures
from sluice.processing.invoker import Invoker
from sluice.processing.memory import CallMemory, Memory
from sluice.processing.outcomes import Outcomes
from sluice.processing.processor import Processor
from sluice.processing.router import Kind, RequestHandler, Router
from sluice.processing.settlement import Settlement
from sluice.settings import Settings
from sluice.timeouts import invocation_seconds
from sluice.transform.assembler import Assembler
from sluice.transform.forwarder import PartForwarder
from sluice.transform.part import PartHandler
from sluice.transform.splitter import Splitter


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
    parts = PartHandler(
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
    # Only the function of the queue of parts calls the endpoint for them, within the datasets' share.
    is_of_parts = settings.source_queue_url == settings.part_queue_url
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
        "file": Splitter(
            settings,
            inputs,
            results,
            outcomes,
            part_queue=part_queue,
            assembly_queue=assembly_queue,
            utc_now=utc_now,
        ),
        "part": parts if is_of_parts else PartForwarder(parts, part_queue),
        "assembly": Assembler(results, outcomes),
    }
    router = Router(settings, handlers, takes)
    failures = FileFailures(results, outcomes)
    settlement = Settlement(settings, router, failures, dead_letter_queue, source_queue, now=utc_now, rng=rng)
    processor = Processor(settings, router, outcomes, settlement, now=utc_now)
    return processor, Dispatcher(processor, concurrency=settings.concurrent_calls, needed_ms=needed_ms)
