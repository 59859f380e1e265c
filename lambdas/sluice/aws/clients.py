"""boto3's clients. Each is created at its first use, because this takes tens of milliseconds of a cold start."""

import threading
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from sluice.timeouts import ATTEMPTS, CONNECT_SECONDS, ENDPOINT_CONNECT_SECONDS, READ_SECONDS

if TYPE_CHECKING:
    import boto3
    from botocore.config import Config
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_sagemaker_runtime.client import SageMakerRuntimeClient
    from mypy_boto3_sns.client import SNSClient
    from mypy_boto3_sqs.client import SQSClient

_T = TypeVar("_T")


class Clients:
    """The clients of one session. The SageMaker client does not retry: retries would be billed, and take too long.

    `connections` is the size of each client's connection pool. `read_timeout_seconds` applies to the SageMaker client.
    """

    def __init__(self, *, connections: int, read_timeout_seconds: float = READ_SECONDS) -> None:
        self._read_timeout = read_timeout_seconds
        self._connections = connections
        self._lock = threading.RLock()  # boto3 sessions are not thread-safe

    @cached_property
    def session(self) -> "boto3.Session":
        """The session that creates the clients."""
        import boto3  # noqa: PLC0415 - see above

        return boto3.Session()

    @cached_property
    def sagemaker_runtime(self) -> "SageMakerRuntimeClient":
        """SageMaker's client, without retries. Its read timeout is over the container's 60 s (InvokeEndpoint API)."""
        return self._made(lambda: self.session.client("sagemaker-runtime", config=self._endpoint_config()))

    @cached_property
    def s3(self) -> "S3Client":
        """The S3 client. Its retries end within the time limit of `sluice.timeouts`."""
        return self._made(lambda: self.session.client("s3", config=self._storage_config()))

    @cached_property
    def sqs(self) -> "SQSClient":
        """The SQS client. Its retries end within the time limit of `sluice.timeouts`."""
        return self._made(lambda: self.session.client("sqs", config=self._storage_config()))

    @cached_property
    def sns(self) -> "SNSClient":
        """The SNS client. Its retries end within the time limit of `sluice.timeouts`."""
        return self._made(lambda: self.session.client("sns", config=self._storage_config()))

    def _made(self, make: "Callable[[], _T]") -> "_T":
        with self._lock:
            return make()

    def _endpoint_config(self) -> "Config":
        return self._config(ENDPOINT_CONNECT_SECONDS, self._read_timeout, attempts=1)

    def _storage_config(self) -> "Config":
        # These calls are safe to repeat.
        return self._config(CONNECT_SECONDS, READ_SECONDS, attempts=ATTEMPTS)

    def _config(self, connect_timeout: float, read_timeout: float, *, attempts: int) -> "Config":
        from botocore.config import Config  # noqa: PLC0415 - see above

        retries: Any = {"total_max_attempts": attempts, "mode": "standard"}
        return Config(
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            retries=retries,
            max_pool_connections=self._connections,
            tcp_keepalive=True,
        )
