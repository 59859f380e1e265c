"""Where a deployment is: found by the outputs of its stack, with the usual AWS credentials."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cli.errors import CliError, ExitCode

if TYPE_CHECKING:
    import boto3
    from botocore.exceptions import ClientError
    from mypy_boto3_cloudformation.client import CloudFormationClient
    from mypy_boto3_cloudwatch.client import CloudWatchClient
    from mypy_boto3_iam.client import IAMClient
    from mypy_boto3_lambda.client import LambdaClient
    from mypy_boto3_logs.client import CloudWatchLogsClient
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_sagemaker.client import SageMakerClient
    from mypy_boto3_sqs.client import SQSClient

    from sluice.settings import Settings


@dataclass(frozen=True)
class Where:
    """Which deployment is meant: the options that every command has.

    `stack` is the stack's name, and for a pipeline in a stack of your own, `stack/prefix of its outputs`.
    """

    stack: str
    profile: str | None = None
    region: str | None = None


def is_denied(error: "ClientError") -> bool:
    """Whether AWS refused a call because these credentials have no right to make it."""
    return error.response["Error"]["Code"] in {"AccessDenied", "AccessDeniedException", "403"}


class Deployment:
    """A deployment: the outputs of its stack, and boto3 clients, each made when it is first asked for."""

    def __init__(self, where: Where) -> None:
        self._where = where

    @cached_property
    def session(self) -> "boto3.Session":
        """The boto3 session of the options given. Raises `CliError` when there is no region, or no such profile."""
        import boto3  # noqa: PLC0415 - it takes longer than `--help` should
        from botocore.exceptions import ProfileNotFound  # noqa: PLC0415 - as above

        try:
            session = boto3.Session(profile_name=self._where.profile, region_name=self._where.region)
        except ProfileNotFound as error:
            raise CliError(f"--profile: {error}", ExitCode.USAGE) from None
        if not session.region_name:
            raise CliError("--region: no AWS region is set; give it, or set AWS_DEFAULT_REGION", ExitCode.USAGE)
        return session

    @cached_property
    def s3(self) -> "S3Client":
        """S3."""
        client: S3Client = self._client(
            "s3", **({"s3": {"addressing_style": "path"}} if "AWS_ENDPOINT_URL" in os.environ else {})
        )
        return client

    @cached_property
    def sqs(self) -> "SQSClient":
        """SQS."""
        client: SQSClient = self._client("sqs")
        return client

    @cached_property
    def logs(self) -> "CloudWatchLogsClient":
        """CloudWatch Logs."""
        client: CloudWatchLogsClient = self._client("logs")
        return client

    @cached_property
    def cloudwatch(self) -> "CloudWatchClient":
        """CloudWatch."""
        client: CloudWatchClient = self._client("cloudwatch")
        return client

    @cached_property
    def lambda_(self) -> "LambdaClient":
        """Lambda."""
        client: LambdaClient = self._client("lambda")
        return client

    @cached_property
    def sagemaker(self) -> "SageMakerClient":
        """SageMaker's control plane."""
        client: SageMakerClient = self._client("sagemaker")
        return client

    @cached_property
    def cloudformation(self) -> "CloudFormationClient":
        """CloudFormation."""
        client: CloudFormationClient = self._client("cloudformation")
        return client

    @cached_property
    def iam(self) -> "IAMClient":
        """IAM."""
        client: IAMClient = self._client("iam")
        return client

    @property
    def stack_name(self) -> str:
        """The stack's name."""
        return self._where.stack.partition("/")[0]

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        """The stack's outputs by name. Raises `CliError` (not found) when there is no such stack."""
        from botocore.exceptions import ClientError  # noqa: PLC0415 - as above

        stack, _, prefix = self._where.stack.partition("/")
        try:
            found = self.cloudformation.describe_stacks(StackName=stack)["Stacks"][0].get("Outputs", [])
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            raise CliError(
                f"--stack: there is no stack {stack} in {self.session.region_name}; name yours, or set SLUICE_STACK",
                ExitCode.NOT_FOUND,
            ) from None
        return {one["OutputKey"].removeprefix(prefix): one["OutputValue"] for one in found}

    def output(self, name: str) -> str:
        """One of the stack's outputs. Raises `CliError` when it isn't there."""
        try:
            return self.outputs[name]
        except KeyError:
            raise CliError(
                f"--stack: {self._where.stack} has no output {name}; is it a Sluice deployment of this version?",
                ExitCode.NOT_FOUND,
            ) from None

    @property
    def input_bucket(self) -> str:
        """Name of the input bucket."""
        return self.output("InputBucketName")

    @property
    def results_bucket(self) -> str:
        """Name of the results bucket."""
        return self.output("ResultsBucketName")

    @property
    def request_queue_url(self) -> str:
        """URL of the request queue."""
        return self.output("RequestQueueUrl")

    @property
    def dead_letter_queue_url(self) -> str:
        """URL of the dead-letter queue."""
        return self.output("DeadLetterQueueUrl")

    @cached_property
    def environment(self) -> Mapping[str, str]:
        """The environment of the invoke function: the deployment's settings, as the functions read them."""
        got = self.lambda_.get_function_configuration(FunctionName=self.output("InvokeFunctionName"))
        return got.get("Environment", {}).get("Variables", {})

    @cached_property
    def settings(self) -> "Settings":
        """The deployment's settings, as its functions read them. Raises `CliError` when they aren't of this version."""
        from pydantic import ValidationError  # noqa: PLC0415 - as above

        from sluice.settings import Settings  # noqa: PLC0415 - as above

        try:
            return Settings.from_environment(self.environment)
        except ValidationError as error:
            names = ", ".join(str(detail["loc"][0]) for detail in error.errors())
            raise CliError(
                f"--stack: the invoke function's environment lacks, or has wrong: {names}; is it of this version of "
                "Sluice?"
            ) from None

    @property
    def settings_if_allowed(self) -> "Settings | None":
        """The settings; None where these credentials may not see them."""
        from botocore.exceptions import ClientError  # noqa: PLC0415 - as above

        try:
            return self.settings
        except ClientError as error:
            if not is_denied(error):
                raise
            return None

    def _client(self, service: str, **config: Any) -> Any:
        from botocore.config import Config  # noqa: PLC0415 - as above

        # Standard retries: an operator's tool waits out throttling rather than stop half way.
        settings = Config(retries={"mode": "standard", "total_max_attempts": 8}, max_pool_connections=32, **config)
        return self.session.client(service, config=settings)  # type: ignore[call-overload]
