"""Selects the clients for the calls that every request makes: the lean clients, or boto3's clients in threads."""

import ssl
from collections.abc import Mapping

from sluice.aws.clients import Clients
from sluice.aws.http.aws_config import aws_config, has_proxy
from sluice.aws.http.connector import Connector
from sluice.aws.http.pool import ConnectionPool
from sluice.aws.http.s3 import LeanS3
from sluice.aws.http.s3_calls import S3Requests
from sluice.aws.http.sagemaker import LeanSageMakerRuntime
from sluice.aws.http.signature import Signer
from sluice.aws.loop import Loop
from sluice.aws.sagemaker import Boto3SageMakerRuntime
from sluice.settings import Settings
from sluice.timeouts import CONNECT_SECONDS, ENDPOINT_CONNECT_SECONDS, READ_SECONDS

_S3_CONNECTIONS = 16  # for each bucket: a TLS handshake takes more CPU time than dozens of calls
_ENDPOINT_CONNECTIONS = 1_000  # a function has 1,024 descriptors (Lambda quotas)


def uses_boto3(settings: Settings, environment: Mapping[str, str]) -> bool:
    """Whether boto3 makes these calls: the setting selects it, or a proxy is configured, which only boto3 supports."""
    return settings.transport == "boto3" or has_proxy(environment)


def hot_clients(
    loop: Loop, settings: Settings, environment: Mapping[str, str], clients: Clients
) -> tuple[LeanSageMakerRuntime | Boto3SageMakerRuntime, LeanS3 | None]:
    """The clients of SageMaker and S3 for the calls that every request makes.

    They are the lean clients, unless `uses_boto3` is true. If the client of S3 is None, boto3's client is used.
    """
    if uses_boto3(settings, environment):
        return Boto3SageMakerRuntime(loop, clients), None
    found = aws_config(environment, clients)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(found.ca_bundle)

    def storage(url: str) -> ConnectionPool:
        connector = Connector(loop, url, context, connect_timeout_seconds=CONNECT_SECONDS)
        return ConnectionPool(connector, limit=_S3_CONNECTIONS)

    endpoint = ConnectionPool(
        Connector(loop, found.sagemaker_url, context, connect_timeout_seconds=ENDPOINT_CONNECT_SECONDS),
        limit=_ENDPOINT_CONNECTIONS,
    )
    return (
        LeanSageMakerRuntime(
            loop,
            endpoint,
            Signer("sagemaker", found.region, found.credentials),
            lambda: clients.sagemaker_runtime,
            call_seconds=ENDPOINT_CONNECT_SECONDS + settings.read_timeout_seconds,
        ),
        LeanS3(
            loop,
            storage,
            S3Requests(found.s3_url, Signer("s3", found.region, found.credentials), settings.max_body_bytes),
            lambda: clients.s3,
            call_seconds=CONNECT_SECONDS + READ_SECONDS,
            max_bytes=settings.max_body_bytes,
        ),
    )
