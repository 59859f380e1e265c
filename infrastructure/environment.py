"""The functions' environment variables: those that `lambdas/sluice/settings.py` reads, and those of Powertools."""

from aws_cdk import aws_sqs as sqs

from infrastructure.queues import Queues
from infrastructure.settings import Settings
from infrastructure.sizes import BUCKET_NAME, QUEUE_URL, ROLE_IDS, check_environment
from infrastructure.storage import Storage

METRICS_NAMESPACE = "Sluice"
INTERNAL_SENDERS = "SLUICE_INTERNAL_SENDERS"
"""The role IDs of the functions that send messages to each other; `Functions` adds them to each function."""


def powertools(settings: Settings) -> dict[str, str]:
    """Return the variables that configure Powertools."""
    return {
        "POWERTOOLS_SERVICE_NAME": settings.deployment_name,
        "POWERTOOLS_METRICS_NAMESPACE": METRICS_NAMESPACE,
        "POWERTOOLS_LOG_LEVEL": settings.function.log_level,
    }


def environment(
    settings: Settings, storage: Storage, queues: Queues, source: sqs.IQueue, concurrent_calls: int
) -> dict[str, str]:
    """Return the variables of the function that receives its requests from `source`, `concurrent_calls` at once.

    Raises `SettingsError` when they exceed Lambda's quota of 4 KB.
    """
    known = {
        "SLUICE_ENDPOINT_NAMES": ",".join(endpoint.name for endpoint in settings.endpoints),
        "SLUICE_DEFAULT_ENDPOINT_NAME": settings.default_endpoint,
        "SLUICE_MAX_RECEIVE_COUNT": str(queues.max_receive_count(source)),
        "SLUICE_RETRY_BASE_SECONDS": str(settings.retry.base_seconds),
        "SLUICE_RETRY_CAP_SECONDS": str(settings.retry.cap_seconds),
        "SLUICE_MAX_BODY_BYTES": str(settings.max_body_bytes),
        "SLUICE_DEFAULT_CONTENT_TYPE": settings.default_content_type,
        "SLUICE_READ_TIMEOUT_SECONDS": str(settings.timeouts.read_seconds),
        "SLUICE_CONCURRENT_CALLS": str(concurrent_calls),
        "SLUICE_CONCURRENT_FUNCTIONS": str(
            settings.maximum_part_concurrency if settings.dataset_requests else settings.maximum_concurrency
        ),
        "SLUICE_TRANSPORT": settings.function.transport,
        "SLUICE_MODEL_MESSAGES": str(settings.model_messages).lower(),
        "SLUICE_MODEL_RETRY_STATUSES": ",".join(map(str, settings.model_retry.statuses)),
        "SLUICE_MODEL_RETRY_ATTEMPTS": str(settings.model_attempts),
        "SLUICE_TRANSFORM_DEFAULTS": settings.transform.model_dump_json(exclude_none=True),
        **powertools(settings),
    }
    if settings.input_location_buckets:
        known["SLUICE_INPUT_LOCATION_BUCKETS"] = ",".join(settings.input_location_buckets)
    if settings.custom_attributes_template:
        known["SLUICE_CUSTOM_ATTRIBUTES_TEMPLATE"] = settings.custom_attributes_template
    at_deployment = {
        "SLUICE_INPUT_BUCKET": storage.input_bucket.bucket_name,
        "SLUICE_RESULTS_BUCKET": storage.results_bucket.bucket_name,
        "SLUICE_SOURCE_QUEUE_URL": source.queue_url,
        "SLUICE_DEAD_LETTER_QUEUE_URL": queues.dead_letter_queue.queue_url,
        "SLUICE_PART_QUEUE_URL": queues.queue_of_parts.queue_url,
        "SLUICE_ASSEMBLY_QUEUE_URL": queues.assembly_queue.queue_url,
    }
    lengths = {name: BUCKET_NAME if name.endswith("_BUCKET") else QUEUE_URL for name in at_deployment}
    check_environment(settings, known, {**lengths, INTERNAL_SENDERS: ROLE_IDS})
    return {**known, **at_deployment}
