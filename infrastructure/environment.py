"""The functions' environment: what `lambdas/sluice/settings.py` reads, and Powertools' own."""

from aws_cdk import aws_sqs as sqs

from infrastructure.queues import Queues
from infrastructure.settings import Settings, SettingsError
from infrastructure.storage import Storage

NAMESPACE = "Sluice"  # of the functions' metrics
_MAX_BYTES = 4096  # Lambda's, for names and values together
_TOKEN_BYTES = 100  # an upper estimate of what a name or URL that CloudFormation fills in will take


def powertools(settings: Settings) -> dict[str, str]:
    """Powertools' own part of it."""
    return {
        "POWERTOOLS_SERVICE_NAME": settings.deployment_name,
        "POWERTOOLS_METRICS_NAMESPACE": NAMESPACE,
        "POWERTOOLS_LOG_LEVEL": settings.log_level,
    }


def environment(settings: Settings, storage: Storage, queues: Queues, source: sqs.IQueue) -> dict[str, str]:
    """The environment of the function that takes its requests off `source`.

    Raises `SettingsError` when it is over Lambda's 4 KB.
    """
    stated = {
        "SLUICE_ENDPOINT_NAMES": ",".join(endpoint.name for endpoint in settings.endpoints),
        "SLUICE_DEFAULT_ENDPOINT_NAME": settings.default_endpoint,
        "SLUICE_MAX_RECEIVE_COUNT": str(settings.max_receive_count),
        "SLUICE_RETRY_BASE_SECONDS": str(settings.retry_base_seconds),
        "SLUICE_RETRY_CAP_SECONDS": str(settings.retry_cap_seconds),
        "SLUICE_MAX_BODY_BYTES": str(settings.max_body_bytes),
        "SLUICE_DEFAULT_CONTENT_TYPE": settings.default_content_type,
        "SLUICE_READ_TIMEOUT_SECONDS": str(settings.read_timeout_seconds),
        "SLUICE_THREADS": str(settings.threads),
        "SLUICE_TRANSPORT": settings.transport,
        "SLUICE_MODEL_MESSAGES": str(settings.model_messages).lower(),
        "SLUICE_TRANSFORM_DEFAULTS": settings.transform.model_dump_json(exclude_none=True),
        **powertools(settings),
    }
    if settings.input_location_buckets:
        stated["SLUICE_INPUT_LOCATION_BUCKETS"] = ",".join(settings.input_location_buckets)
    if settings.custom_attributes_template:
        stated["SLUICE_CUSTOM_ATTRIBUTES_TEMPLATE"] = settings.custom_attributes_template
    filled_in = {
        "SLUICE_INPUT_BUCKET": storage.input_bucket.bucket_name,
        "SLUICE_RESULTS_BUCKET": storage.results_bucket.bucket_name,
        "SLUICE_SOURCE_QUEUE_URL": source.queue_url,
        "SLUICE_DEAD_LETTER_QUEUE_URL": queues.dead_letter_queue.queue_url,
        "SLUICE_REQUEST_QUEUE_URL": queues.request_queue.queue_url,
        "SLUICE_ASSEMBLY_QUEUE_URL": queues.assembly_queue.queue_url,
    }
    size = sum(len(name) + len(value) for name, value in stated.items())
    size += sum(len(name) + _TOKEN_BYTES for name in filled_in)
    if size > _MAX_BYTES:
        raise SettingsError(
            f"sluice.endpoint_names: with input_location_buckets they take {size} bytes of a Lambda function's "
            f"environment, which holds {_MAX_BYTES}; deploy them as two deployments"
        )
    return {**stated, **filled_in}
