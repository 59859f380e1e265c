"""The invoke function, its layer, its log group, its role, and the event source mapping that feeds it."""

from collections.abc import Sequence
from pathlib import Path

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infrastructure.dependencies import Target, build
from infrastructure.queues import Queues
from infrastructure.settings import Settings, SettingsError
from infrastructure.storage import Storage

_CODE = Path(__file__).parent.parent / "lambdas"
_MAX_ENVIRONMENT_BYTES = 4096  # Lambda's, for names and values together
_TOKEN_BYTES = 100  # an upper estimate of what a name or URL that CloudFormation fills in will take


class InvokeFunction(Construct):
    """Takes batches off the request queue, and calls the endpoints."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        storage: Storage,
        queues: Queues,
        dependencies: Target,
    ) -> None:
        super().__init__(scope, construct_id)
        log_group = logs.LogGroup(
            self,
            "Logs",
            removal_policy=RemovalPolicy.RETAIN if settings.retain_data else RemovalPolicy.DESTROY,
        )
        # CDK has names for the retentions; CloudFormation takes the days.
        resource = log_group.node.default_child
        assert isinstance(resource, logs.CfnLogGroup)  # noqa: S101 - tells the type checker what CDK promises
        resource.retention_in_days = settings.log_retention_days
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        layer = lambda_.LayerVersion(
            self,
            "Dependencies",
            code=lambda_.Code.from_asset(str(build(dependencies))),
            compatible_runtimes=[lambda_.Runtime.PYTHON_3_13],
            compatible_architectures=[lambda_.Architecture.ARM_64],
            description="lambdas/requirements.txt",
        )
        self.function = lambda_.Function(
            self,
            "Function",
            description=f"{settings.deployment_name}: validates requests, calls InvokeEndpoint, stores the inference",
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            # Stray bytecode would change the asset's hash; the requirements are in the layer.
            code=lambda_.Code.from_asset(str(_CODE), exclude=["**/__pycache__", "**/*.pyc", "requirements.txt"]),
            handler="invoke.handler",
            layers=[layer],
            memory_size=settings.memory_mb,
            timeout=Duration.seconds(settings.function_timeout),
            environment=_environment(settings, storage, queues),
            log_group=log_group,
            role=role.without_policy_updates(),  # all that it may do stands in _statements, and nothing else
            tracing=lambda_.Tracing.ACTIVE,
        )
        policy = iam.Policy(
            self, "Policy", roles=[role], statements=_statements(self, settings, storage, queues, log_group)
        )
        self.function.node.add_dependency(policy)
        mapping = lambda_.CfnEventSourceMapping(
            self,
            "RequestQueueMapping",
            event_source_arn=queues.request_queue.queue_arn,
            function_name=self.function.function_arn,
            batch_size=settings.batch_size,
            maximum_batching_window_in_seconds=settings.batching_window_seconds,
            function_response_types=["ReportBatchItemFailures"],
            scaling_config=lambda_.CfnEventSourceMapping.ScalingConfigProperty(
                maximum_concurrency=settings.maximum_concurrency
            ),
        )
        mapping.node.add_dependency(policy)


def _environment(settings: Settings, storage: Storage, queues: Queues) -> dict[str, str]:
    """The function's environment: what `lambdas/sluice/settings.py` reads, and Powertools' own.

    Raises `SettingsError` when it is over Lambda's 4 KB.
    """
    environment = {
        "SLUICE_ENDPOINT_NAMES": ",".join(settings.endpoint_names),
        "SLUICE_DEFAULT_ENDPOINT_NAME": settings.default_endpoint,
        "SLUICE_MAX_RECEIVE_COUNT": str(settings.max_receive_count),
        "SLUICE_RETRY_BASE_SECONDS": str(settings.retry_base_seconds),
        "SLUICE_RETRY_CAP_SECONDS": str(settings.retry_cap_seconds),
        "SLUICE_MAX_BODY_BYTES": str(settings.max_body_bytes),
        "SLUICE_DEFAULT_CONTENT_TYPE": settings.default_content_type,
        "SLUICE_READ_TIMEOUT_SECONDS": str(settings.read_timeout_seconds),
        "SLUICE_THREADS": str(settings.threads),
        "POWERTOOLS_SERVICE_NAME": settings.deployment_name,
        "POWERTOOLS_METRICS_NAMESPACE": "Sluice",
        "POWERTOOLS_LOG_LEVEL": settings.log_level,
    }
    if settings.input_location_buckets:
        environment["SLUICE_INPUT_LOCATION_BUCKETS"] = ",".join(settings.input_location_buckets)
    if settings.custom_attributes_template:
        environment["SLUICE_CUSTOM_ATTRIBUTES_TEMPLATE"] = settings.custom_attributes_template
    filled_in = {
        "SLUICE_INPUT_BUCKET": storage.input_bucket.bucket_name,
        "SLUICE_RESULTS_BUCKET": storage.results_bucket.bucket_name,
        "SLUICE_REQUEST_QUEUE_URL": queues.request_queue.queue_url,
        "SLUICE_DEAD_LETTER_QUEUE_URL": queues.dead_letter_queue.queue_url,
    }
    size = sum(len(name) + len(value) for name, value in environment.items())
    size += sum(len(name) + _TOKEN_BYTES for name in filled_in)
    if size > _MAX_ENVIRONMENT_BYTES:
        raise SettingsError(
            f"sluice.endpoint_names: with input_location_buckets they take {size} bytes of a Lambda function's "
            f"environment, which holds {_MAX_ENVIRONMENT_BYTES}; deploy them as two deployments"
        )
    return {**environment, **filled_in}


def _statements(
    scope: Construct, settings: Settings, storage: Storage, queues: Queues, log_group: logs.LogGroup
) -> Sequence[iam.PolicyStatement]:
    stack = Stack.of(scope)
    listed = [
        s3.Bucket.from_bucket_name(scope, f"Listed{number}", name)
        for number, name in enumerate(settings.input_location_buckets)
    ]
    endpoints = [
        # SageMaker's ARNs have the name in lower case.
        stack.format_arn(service="sagemaker", resource="endpoint", resource_name=name.lower())
        for name in settings.endpoint_names
    ]

    def allow(sid: str, actions: list[str], resources: list[str]) -> iam.PolicyStatement:
        return iam.PolicyStatement(sid=sid, actions=actions, resources=resources)

    return [
        allow("InvokeEndpoints", ["sagemaker:InvokeEndpoint"], endpoints),
        allow(
            "ReadInputs",
            ["s3:GetObject"],
            [bucket.arn_for_objects("*") for bucket in (storage.input_bucket, *listed)],
        ),
        allow(
            "StoreResults",
            ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
            [storage.results_bucket.arn_for_objects("*")],
        ),
        # Without it S3 says 403 of what is not there, and a missing object would be retried like a wrong policy.
        allow(
            "TellMissingFromForbidden",
            ["s3:ListBucket"],
            [bucket.bucket_arn for bucket in (storage.input_bucket, storage.results_bucket, *listed)],
        ),
        allow(
            "TakeRequests",
            ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"],
            [queues.request_queue.queue_arn],
        ),
        allow("SendDeadLetters", ["sqs:SendMessage"], [queues.dead_letter_queue.queue_arn]),
        allow(
            "WriteLogs",
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            [log_group.log_group_arn],
        ),
        # X-Ray's write actions know no resources.
        allow("WriteTraces", ["xray:PutTraceSegments", "xray:PutTelemetryRecords"], ["*"]),
    ]
