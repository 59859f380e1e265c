"""Builds each function's application from its environment: joins the core with the adapters in `aws/`."""

import os
import random
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from aws_lambda_powertools import Logger, Metrics

from sluice.aws.adapters import S3Inputs, S3Results, SageMakerEndpoint, SqsDeadLetters, SqsRequestQueue
from sluice.aws.clients import ENDPOINT_CONNECT_TIMEOUT_SECONDS, Clients
from sluice.aws.file_adapters import S3Files, S3Parts, SqsSender
from sluice.aws.transport import hot_clients
from sluice.functions import Application, Function, RequestApplication, RunBatch
from sluice.processing.dispatcher import SETTLE_MS, Dispatcher
from sluice.processing.invoker import Invoker
from sluice.processing.processor import Processor
from sluice.processing.router import Kind, RequestHandler, Router
from sluice.settings import NotifySettings, Settings
from sluice.telemetry import Telemetry
from sluice.transform.assembler import Assembler
from sluice.transform.memory import Memory
from sluice.transform.part import PartHandler
from sluice.transform.splitter import Splitter

if TYPE_CHECKING:
    from sluice.notify.function import NotifyApplication

_MEMORY_MB = 512  # assumed outside of Lambda, which states a function's memory in its environment

_App = TypeVar("_App", bound=Application)


def request_function(*, takes: Collection[Kind], run_batch: RunBatch) -> Function[RequestApplication]:
    """A function that processes requests. `takes` are the kinds of requests that its queue holds."""
    return _function(lambda: compose(os.environ, takes, run_batch))


def notify_function() -> "Function[NotifyApplication]":
    """The function that publishes notifications."""
    return _function(lambda: compose_notify(os.environ))


def _function(build: Callable[[], _App]) -> Function[_App]:
    function = Function(build)
    if "AWS_LAMBDA_RUNTIME_API" in os.environ:
        # In the init phase a function has a whole CPU, whatever its memory, and SnapStart keeps what is built in it.
        # Elsewhere the application is built at the first event.
        function.application()
    return function


def _now() -> datetime:
    return datetime.now(UTC)


def compose(environment: Mapping[str, str], takes: Collection[Kind], run_batch: RunBatch) -> RequestApplication:
    """The application that `environment` describes. `takes` are the kinds of requests that its queue holds.

    Raises pydantic's `ValidationError` when a setting is missing or wrong.
    """
    settings = Settings.from_environment(environment)
    clients = Clients(
        read_timeout_seconds=settings.read_timeout_seconds,
        connections=settings.threads,
    )
    sagemaker, s3 = hot_clients(settings, environment, clients)
    results = S3Results(s3, settings.results_bucket)
    endpoint = SageMakerEndpoint(sagemaker, model_messages=settings.model_messages)
    files, parts = S3Files(clients), S3Parts(clients, s3, settings.results_bucket)
    request_queue = SqsSender(clients, settings.request_queue_url)
    assembly_queue = SqsSender(clients, settings.assembly_queue_url)
    call_ms = (ENDPOINT_CONNECT_TIMEOUT_SECONDS + settings.read_timeout_seconds) * 1000
    handlers: dict[Kind, RequestHandler] = {
        "call": Invoker(settings, endpoint, S3Inputs(s3), results, now=_now),
        "file": Splitter(settings, files, parts=parts, requests=request_queue, assemblies=assembly_queue),
        "part": PartHandler(
            settings,
            endpoint,
            files,
            results=results,
            parts=parts,
            requests=request_queue,
            assemblies=assembly_queue,
            needed_ms=call_ms + SETTLE_MS,
            memory=Memory(int(environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", _MEMORY_MB))),
            now=_now,
        ),
        "assembly": Assembler(results, parts),
    }
    processor = Processor(
        settings,
        Router(settings, {kind: handlers[kind] for kind in takes}),
        results,
        SqsDeadLetters(clients, settings.dead_letter_queue_url),
        SqsRequestQueue(clients, settings.source_queue_url),
        now=_now,
        rng=random.SystemRandom(),  # it has no state, which functions restored from one snapshot would share
    )
    logger = _logger()
    return RequestApplication(
        processor=processor,
        dispatcher=Dispatcher(
            processor,
            ThreadPoolExecutor(settings.threads, thread_name_prefix="request"),
            threads=settings.threads,
            call_ms=call_ms,
        ),
        logger=logger,
        telemetry=Telemetry(logger, Metrics()),
        run_batch=run_batch,
    )


def compose_notify(environment: Mapping[str, str]) -> "NotifyApplication":
    """The application of the notify function that `environment` describes.

    Raises pydantic's `ValidationError` when a setting is missing or wrong.
    """
    # Imported here: no other function needs these, and imports are most of a cold start.
    from sluice.aws.notify_adapters import S3Outcomes, SnsTopics  # noqa: PLC0415
    from sluice.notify.function import NotifyApplication  # noqa: PLC0415
    from sluice.notify.notifier import Notifier  # noqa: PLC0415

    settings = NotifySettings.from_environment(environment)
    clients = Clients(connections=1)
    notifier = Notifier(settings, S3Outcomes(clients, settings.results_bucket), SnsTopics(clients))
    return NotifyApplication(notifier, _logger(), Metrics())


def _logger() -> Logger:
    # All lines are logged in one place, so the location says nothing. Of a traceback, its text is enough.
    return Logger(location=None, serialize_stacktrace=False)
