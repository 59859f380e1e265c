"""The one place that reads the environment and builds clients: joins the core with what it talks to."""

import random
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from aws_lambda_powertools import Logger, Metrics

from sluice.adapters import S3Inputs, S3Results, SageMakerEndpoint, SqsDeadLetters, SqsRequestQueue
from sluice.answer import Answerer
from sluice.clients import ENDPOINT_CONNECT_TIMEOUT_SECONDS, Clients
from sluice.dispatch import SETTLE_MS, Dispatcher
from sluice.file_adapters import S3Files, S3Parts, SqsSender
from sluice.process import Processor
from sluice.router import Answers, Kind, Router
from sluice.settings import Settings
from sluice.telemetry import Telemetry
from sluice.transform.assemble import Assembler
from sluice.transform.memory import Memory
from sluice.transform.part import PartAnswerer
from sluice.transform.split import Splitter
from sluice.transport import hot_clients

_MEMORY_MB = 512  # of a function that no Lambda tells of its memory


@dataclass(frozen=True, slots=True)
class Application:
    """What a handler needs."""

    processor: Processor
    dispatcher: Dispatcher
    logger: Logger
    telemetry: Telemetry


def _now() -> datetime:
    return datetime.now(UTC)


def compose(environment: Mapping[str, str], takes: Collection[Kind]) -> Application:
    """The application that `environment` describes, of a function whose queue `takes` these kinds of requests.

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
    part_queue = SqsSender(clients, settings.part_queue_url)
    assembly_queue = SqsSender(clients, settings.assembly_queue_url)
    call_ms = (ENDPOINT_CONNECT_TIMEOUT_SECONDS + settings.read_timeout_seconds) * 1000
    answerers: dict[Kind, Answers] = {
        "call": Answerer(settings, endpoint, S3Inputs(s3), results, now=_now),
        "file": Splitter(settings, files, parts=parts, requests=part_queue, assemblies=assembly_queue),
        "part": PartAnswerer(
            settings,
            endpoint,
            files,
            results=results,
            parts=parts,
            requests=part_queue,
            assemblies=assembly_queue,
            needed_ms=call_ms + SETTLE_MS,
            memory=Memory(int(environment.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", _MEMORY_MB))),
            now=_now,
        ),
        "assembly": Assembler(results, parts),
    }
    processor = Processor(
        settings,
        Router(settings, {kind: answerers[kind] for kind in takes}),
        results,
        SqsDeadLetters(clients, settings.dead_letter_queue_url),
        SqsRequestQueue(clients, settings.request_queue_url),
        now=_now,
        rng=random.SystemRandom(),  # it has no state, which functions restored from one snapshot would share
    )
    # All lines are logged in one place, so where says nothing; and of a traceback, its text is enough.
    logger = Logger(location=None, serialize_stacktrace=False)
    return Application(
        processor=processor,
        dispatcher=Dispatcher(
            processor,
            ThreadPoolExecutor(settings.threads, thread_name_prefix="request"),
            threads=settings.threads,
            call_ms=call_ms,
        ),
        logger=logger,
        telemetry=Telemetry(logger, Metrics()),
    )
