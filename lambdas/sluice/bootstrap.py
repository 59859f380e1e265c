"""Builds each function's application from its environment: joins the core with the adapters in `aws/`."""

from sluice.aws.garbage import IN_LAMBDA, end_of_initialization

# isort: split

import os
import random
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from aws_lambda_powertools import Logger, Metrics

from sluice.aws.clients import Clients
from sluice.aws.loop import Loop
from sluice.aws.s3 import S3Bucket
from sluice.aws.sagemaker import SageMakerEndpoint
from sluice.aws.sqs import SqsDeadLetterQueue, SqsMessageSender, SqsSourceQueue
from sluice.aws.storage_guard import StorageGuard
from sluice.aws.transport import hot_clients, uses_boto3
from sluice.composition import compose_core
from sluice.failures import ModelRetry, Operation
from sluice.functions import Application, Function, RequestApplication, RunBatch
from sluice.processing.memory import Memory
from sluice.processing.router import Kind
from sluice.settings import NotifySettings, Settings
from sluice.telemetry import Telemetry

if TYPE_CHECKING:
    from sluice.notify.function import NotifyApplication

_THREADS = 10  # for boto3's calls, at once
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
    if IN_LAMBDA:
        # In the init phase a function has a whole CPU, whatever its memory, and SnapStart keeps what is built in it.
        # Elsewhere the application is built at the first event.
        function.application()
    end_of_initialization()
    return function


def _now() -> datetime:
    return datetime.now(UTC)


def compose(environment: Mapping[str, str], takes: Collection[Kind], run_batch: RunBatch) -> RequestApplication:
    """The application that `environment` describes. `takes` are the kinds of requests that its queue holds.

    Raises pydantic's `ValidationError` when a setting is missing or wrong.
    """
    settings = Settings.from_environment(environment)
    # With boto3's transport every call of a request blocks a thread; else only what is rare does.
    loop = Loop(threads=settings.concurrent_calls if uses_boto3(settings, environment) else _THREADS)
    clients = Clients(read_timeout_seconds=settings.read_timeout_seconds, connections=settings.concurrent_calls)
    sagemaker, s3 = hot_clients(loop, settings, environment, clients)
    guard = StorageGuard()
    results = S3Bucket(settings.results_bucket, loop, clients, s3, read=Operation.STORE_RESULT, guard=guard)

    def inputs(bucket: str) -> S3Bucket:
        return S3Bucket(bucket, loop, clients, s3, read=Operation.READ_INPUT)

    processor, dispatcher = compose_core(
        settings,
        takes,
        endpoint=SageMakerEndpoint(
            sagemaker,
            model_messages=settings.model_messages,
            model_retry=ModelRetry(settings.model_retry_statuses, settings.model_retry_attempts),
            guard=guard,
        ),
        inputs=inputs,
        results=results,
        part_queue=SqsMessageSender(loop, clients, settings.part_queue_url),
        assembly_queue=SqsMessageSender(loop, clients, settings.assembly_queue_url),
        dead_letter_queue=SqsDeadLetterQueue(loop, clients, settings.dead_letter_queue_url),
        source_queue=SqsSourceQueue(loop, clients, settings.source_queue_url),
        memory=Memory(int(environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", _MEMORY_MB))),
        utc_now=_now,
        rng=random.SystemRandom(),  # it has no state that functions restored from one snapshot would share
    )
    logger = _logger()
    return RequestApplication(
        processor=processor,
        dispatcher=dispatcher,
        logger=logger,
        telemetry=Telemetry(logger, Metrics(), trace_header=lambda: os.environ.get("_X_AMZN_TRACE_ID")),
        run_batch=run_batch,
        runner=loop,
    )


def compose_notify(environment: Mapping[str, str]) -> "NotifyApplication":
    """The application of the notify function that `environment` describes.

    Raises pydantic's `ValidationError` when a setting is missing or wrong.
    """
    # Imported here: no other function needs these, and imports are most of a cold start.
    from sluice.aws.sns import SnsTopics  # noqa: PLC0415
    from sluice.notify.function import NotifyApplication  # noqa: PLC0415
    from sluice.notify.notifier import Notifier  # noqa: PLC0415

    settings = NotifySettings.from_environment(environment)
    loop, clients = Loop(threads=1), Clients(connections=1)
    results = S3Bucket(settings.results_bucket, loop, clients, read=Operation.READ_RESULT)
    notifier = Notifier(settings, results, SnsTopics(loop, clients))
    return NotifyApplication(notifier, _logger(), Metrics(), loop)


def _logger() -> Logger:
    # All lines are logged in one place, so the location says nothing. Of a traceback, its text is enough.
    return Logger(location=None, serialize_stacktrace=False)
