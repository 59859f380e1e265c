"""A local AWS: ministack as a child process, and clients for it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import boto3
from botocore.config import Config

from local.process import Child
from local.tls import Tls

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.client import CloudFormationClient
    from mypy_boto3_iam.client import IAMClient
    from mypy_boto3_lambda.client import LambdaClient
    from mypy_boto3_logs.client import CloudWatchLogsClient
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_sagemaker_runtime.client import SageMakerRuntimeClient
    from mypy_boto3_sns.client import SNSClient
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_ssm.client import SSMClient

ACCOUNT = "000000000000"
# For some regions, AWS CLI v1 has a built-in SQS endpoint that overrides AWS_ENDPOINT_URL. For this one it has none.
REGION: Literal["eu-central-2"] = "eu-central-2"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}


def environment() -> dict[str, str]:
    """This process's environment without settings for a real AWS account, and without a proxy for local servers."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHONPATH"))}
    return {
        **kept,
        **CREDENTIALS,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def start(port: int, sagemaker_runtime_url: str, directory: Path, tls: Tls | None = None) -> Child:
    """Start ministack on 127.0.0.1. Handlers call `sagemaker_runtime_url` for InvokeEndpoint.

    With `tls`, it accepts only TLS and enforces signatures and IAM policies. Without `tls`, it allows everything.
    """
    temporary = directory / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    return Child(
        "local.enforcing",
        [],
        health=f"{url(port, tls)}/_ministack/health",
        verify=tls.context() if tls else True,
        log=directory / "aws.log",
        environment={
            **environment(),
            **(_enforcing(tls) if tls else {}),
            "GATEWAY_PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",  # the host in queue URLs
            "SFTP_ENABLED": "0",
            "IOT_MTLS_ENABLED": "0",
            "MINISTACK_REGION": REGION,
            "LAMBDA_EXECUTOR": "local",
            "TMPDIR": str(temporary),
            # ministack passes its own environment on to handlers.
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": sagemaker_runtime_url,
        },
    )


def url(port: int, tls: Tls | None) -> str:
    """The URL of a local AWS on `port`."""
    return f"{'https' if tls else 'http'}://127.0.0.1:{port}"


def _enforcing(tls: Tls) -> dict[str, str]:
    return {
        "AUTH": "true",
        "USE_SSL": "1",
        "MINISTACK_SSL_CERT": str(tls.certificate),
        "MINISTACK_SSL_KEY": str(tls.key),
        "AWS_CA_BUNDLE": str(tls.authority),  # for the handlers, which inherit the environment
    }


class Clients:
    """boto3 clients for a local AWS. They can't reach a real one, because endpoint and credentials are fixed."""

    def __init__(
        self,
        url: str,
        sagemaker_runtime_url: str,
        *,
        tls: Tls | None = None,
        access_key_id: str = CREDENTIALS["AWS_ACCESS_KEY_ID"],
        secret_access_key: str = CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    ) -> None:
        """Create clients with the keys given, by default those of the account's root user."""
        self._url = url
        self._verify = str(tls.authority) if tls else None
        self._session = boto3.Session(
            aws_access_key_id=access_key_id, aws_secret_access_key=secret_access_key, region_name=REGION
        )
        self.s3: S3Client = self._client("s3", s3={"addressing_style": "path"})
        self.sqs: SQSClient = self._client("sqs")
        self.iam: IAMClient = self._client("iam")
        self.sns: SNSClient = self._client("sns")
        self.logs: CloudWatchLogsClient = self._client("logs")
        self.ssm: SSMClient = self._client("ssm")
        self.lambda_: LambdaClient = self._client("lambda")
        self.cloudformation: CloudFormationClient = self._client("cloudformation")
        self.sagemaker_runtime: SageMakerRuntimeClient = self._client("sagemaker-runtime", sagemaker_runtime_url)

    def _client(self, service: str, url: str | None = None, **config: Any) -> Any:
        settings = Config(proxies={}, connect_timeout=5, read_timeout=75, max_pool_connections=50, **config)
        connection = {"endpoint_url": url or self._url, "verify": self._verify}
        return self._session.client(service, **connection, config=settings)  # type: ignore[call-overload]
