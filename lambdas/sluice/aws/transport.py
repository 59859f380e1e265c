"""Which clients make the hot calls: the lean ones, or boto3's."""

import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sluice.aws.clients import Clients
from sluice.aws.http.aws_config import aws_config, has_proxy
from sluice.aws.http.connections import Connections
from sluice.aws.http.s3 import LeanS3
from sluice.aws.http.sagemaker import LeanSageMakerRuntime
from sluice.aws.http.signature import Signer
from sluice.settings import Settings
from sluice.timeouts import CONNECT_SECONDS, ENDPOINT_CONNECT_SECONDS, READ_SECONDS

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_sagemaker_runtime.client import SageMakerRuntimeClient


def hot_clients(
    settings: Settings, environment: Mapping[str, str], clients: Clients
) -> tuple["SageMakerRuntimeClient | LeanSageMakerRuntime", "S3Client | LeanS3"]:
    """SageMaker's and S3's: lean ones, unless the setting says boto3 or a proxy is to be used."""
    if settings.transport == "boto3" or has_proxy(environment):
        return clients.sagemaker_runtime, clients.s3
    found = aws_config(environment, clients)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(found.ca_bundle)

    def storage(url: str) -> Connections:
        return Connections(
            url,
            context,
            connect_timeout_seconds=CONNECT_SECONDS,
            read_timeout_seconds=READ_SECONDS,
        )

    endpoint = Connections(
        found.sagemaker_url,
        context,
        connect_timeout_seconds=ENDPOINT_CONNECT_SECONDS,
        read_timeout_seconds=settings.read_timeout_seconds,
    )
    return (
        LeanSageMakerRuntime(
            endpoint, Signer("sagemaker", found.region, found.credentials), lambda: clients.sagemaker_runtime
        ),
        LeanS3(
            storage,
            found.s3_url,
            Signer("s3", found.region, found.credentials),
            lambda: clients.s3,
            max_bytes=settings.max_body_bytes,
        ),
    )
