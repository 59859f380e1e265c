"""A deployment, found by the outputs of its stack with the usual AWS credentials."""

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
    from mypy_boto3_sns.client import SNSClient
    from mypy_boto3_sqs.client import SQSClient

    from sluice.settings import Settings


@dataclass(frozen=True)
class DeploymentRef:
    """The options that select a deployment.

    `stack` is the name of its stack, or for a pipeline within another stack, `STACK/PREFIX` of its outputs.
    """

    stack: str
    profile: str | None = None
    region: str | None = None


_DENIED_CODES = {
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",  # SNS
    "AuthorizationErrorException",
    "403",  # HEAD requests of S3, which have no body
}


def is_denied(error: "ClientError") -> bool:
    """Whether AWS refused a call because the credentials lack the permission."""
    return error.response["Error"].get("Code", "").rpartition(".")[2] in _DENIED_CODES


class Deployment:
    """The outputs of the deployment's stack, its settings, and boto3 clients. Each is created when first used."""

    def __init__(self, ref: DeploymentRef) -> None:
        self._ref = ref

    @cached_property
    def session(self) -> "boto3.Session":
        """The boto3 session. Raises `CliError` when no region is set or the profile does not exist."""
        import boto3  # noqa: PLC0415 - a slow import, which `--help` does not need
        from botocore.exceptions import ProfileNotFound  # noqa: PLC0415 - as above

        try:
            session = boto3.Session(profile_name=self._ref.profile, region_name=self._ref.region)
        except ProfileNotFound as error:
            raise CliError(f"--profile: {error}", ExitCode.USAGE) from None
        if not session.region_name:
            raise CliError("--region: no AWS region is set; give --region or set AWS_DEFAULT_REGION", ExitCode.USAGE)
        return session

    @cached_property
    def s3(self) -> "S3Client":
        """The S3 client."""
        client: S3Client = self._client(
            "s3", **({"s3": {"addressing_style": "path"}} if "AWS_ENDPOINT_URL" in os.environ else {})
        )
        return client

    @cached_property
    def sqs(self) -> "SQSClient":
        """The SQS client."""
        client: SQSClient = self._client("sqs")
        return client

    @cached_property
    def logs(self) -> "CloudWatchLogsClient":
        """The CloudWatch Logs client."""
        client: CloudWatchLogsClient = self._client("logs")
        return client

    @cached_property
    def cloudwatch(self) -> "CloudWatchClient":
        """The CloudWatch client."""
        client: CloudWatchClient = self._client("cloudwatch")
        return client

    @cached_property
    def lambda_(self) -> "LambdaClient":
        """The Lambda client."""
        client: LambdaClient = self._client("lambda")
        return client

    @cached_property
    def sagemaker(self) -> "SageMakerClient":
        """The client of SageMaker's control plane."""
        client: SageMakerClient = self._client("sagemaker")
        return client

    @cached_property
    def cloudformation(self) -> "CloudFormationClient":
        """The CloudFormation client."""
        client: CloudFormationClient = self._client("cloudformation")
        return client

    @cached_property
    def iam(self) -> "IAMClient":
        """The IAM client."""
        client: IAMClient = self._client("iam")
        return client

    @cached_property
    def sns(self) -> "SNSClient":
        """The SNS client."""
        client: SNSClient = self._client("sns")
        return client

    @cached_property
    def events(self) -> Any:
        """The EventBridge client, `boto3.client("events")`."""
        return self._client("events")

    @property
    def stack_name(self) -> str:
        """The stack's name."""
        return self._ref.stack.partition("/")[0]

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        """The outputs of the stack by name. Raises `CliError` when there is no such stack."""
        from botocore.exceptions import ClientError  # noqa: PLC0415 - as above

        stack, _, prefix = self._ref.stack.partition("/")
        try:
            outputs = self.cloudformation.describe_stacks(StackName=stack)["Stacks"][0].get("Outputs", [])
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            raise CliError(
                f"--stack: there is no stack {stack} in {self.session.region_name}; give --stack or set SLUICE_STACK",
                ExitCode.NOT_FOUND,
            ) from None
        return {output["OutputKey"].removeprefix(prefix): output["OutputValue"] for output in outputs}

    def output(self, name: str) -> str:
        """One output of the stack. Raises `CliError` when the stack does not have it."""
        try:
            return self.outputs[name]
        except KeyError:
            raise CliError(
                f"--stack: {self._ref.stack} has no output {name}; is it a deployment of this version of Sluice?",
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
        """The environment variables of the invoke function, which hold the settings. Raises botocore's errors."""
        function = self.lambda_.get_function_configuration(FunctionName=self.output("InvokeFunctionName"))
        return function.get("Environment", {}).get("Variables", {})

    @cached_property
    def settings(self) -> "Settings":
        """The settings of the functions. Raises `CliError` when they are not those of this version."""
        from pydantic import ValidationError  # noqa: PLC0415 - as above

        from sluice.settings import Settings  # noqa: PLC0415 - as above

        try:
            return Settings.from_environment(self.environment)
        except ValidationError as error:
            names = ", ".join(str(detail["loc"][0]) for detail in error.errors())
            raise CliError(
                f"--stack: missing or invalid in the environment of the invoke function: {names}; is it a deployment "
                "of this version of Sluice?"
            ) from None

    @property
    def settings_if_allowed(self) -> "Settings | None":
        """The settings; None when the credentials do not permit reading them."""
        from botocore.exceptions import ClientError  # noqa: PLC0415 - as above

        try:
            return self.settings
        except ClientError as error:
            if not is_denied(error):
                raise
            return None

    def _client(self, service: str, **config: Any) -> Any:
        from botocore.config import Config  # noqa: PLC0415 - as above

        # With standard retries, a long run waits when AWS throttles it instead of ending half way.
        settings = Config(retries={"mode": "standard", "total_max_attempts": 8}, max_pool_connections=32, **config)
        return self.session.client(service, config=settings)  # type: ignore[call-overload]
