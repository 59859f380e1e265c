"""The one place that reads the environment and builds clients: joins the core with what it talks to."""

import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import boto3
from aws_lambda_powertools import Logger, Metrics
from botocore.config import Config

from sluice.adapters import S3Inputs, S3Results, SageMakerEndpoint, SqsDeadLetters, SqsRequestQueue
from sluice.answer import Answerer
from sluice.dispatch import Dispatcher
from sluice.process import Processor
from sluice.settings import Settings
from sluice.telemetry import Telemetry

_CONNECT_TIMEOUT_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Application:
    """What a handler needs."""

    processor: Processor
    dispatcher: Dispatcher
    logger: Logger
    telemetry: Telemetry


def _now() -> datetime:
    return datetime.now(UTC)


def compose(environment: Mapping[str, str]) -> Application:
    """The application that `environment` describes.

    Raises pydantic's `ValidationError` when a setting is missing or wrong.
    """
    settings = Settings.from_environment(environment)
    session = boto3.Session()
    # One attempt: botocore's own retries of InvokeEndpoint would bill the model twice and outlive the function. The
    # read timeout is over the container's 60 s, as the API page asks.
    once = Config(
        connect_timeout=_CONNECT_TIMEOUT_SECONDS,
        read_timeout=settings.read_timeout_seconds,
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=settings.threads,
        tcp_keepalive=True,
    )
    # Storing the outcome is safe to repeat, and must end within the time that the dispatcher keeps for it.
    again = Config(
        connect_timeout=2,
        read_timeout=10,
        retries={"total_max_attempts": 3, "mode": "standard"},
        max_pool_connections=settings.threads,
        tcp_keepalive=True,
    )
    s3 = session.client("s3", config=again)
    sqs = session.client("sqs", config=again)
    results = S3Results(s3, settings.results_bucket)
    answerer = Answerer(
        settings,
        SageMakerEndpoint(session.client("sagemaker-runtime", config=once)),
        S3Inputs(s3),
        results,
        now=_now,
    )
    processor = Processor(
        settings,
        answerer,
        results,
        SqsDeadLetters(sqs, settings.dead_letter_queue_url),
        SqsRequestQueue(sqs, settings.request_queue_url),
        now=_now,
        rng=random.Random(),  # noqa: S311 - jitter, not a secret
    )
    # All lines are logged in one place, so where says nothing; and of a traceback, its text is enough.
    logger = Logger(location=None, serialize_stacktrace=False)
    return Application(
        processor=processor,
        dispatcher=Dispatcher(
            processor,
            ThreadPoolExecutor(settings.threads, thread_name_prefix="request"),
            threads=settings.threads,
            call_ms=(settings.read_timeout_seconds + _CONNECT_TIMEOUT_SECONDS) * 1000,
        ),
        logger=logger,
        telemetry=Telemetry(logger, Metrics()),
    )
