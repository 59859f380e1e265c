"""A Lambda function that a queue invokes, with its log group, its role and its event source mapping."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infrastructure.network import Network, network_statements
from infrastructure.settings import Settings
from infrastructure.sizes import check_policy

RUNTIME = lambda_.Runtime.PYTHON_3_13
ARCHITECTURE = lambda_.Architecture.ARM_64


@dataclass(frozen=True)
class FunctionDefaults:
    """What all functions of a pipeline share."""

    settings: Settings
    code: lambda_.Code
    layer: lambda_.ILayerVersion
    network: Network | None


@dataclass(frozen=True)
class FunctionSpec:
    """What is particular to one function. `description` goes after the deployment's name.

    `is_recursive` says that it sends messages to its own queue, in chains that end by themselves.
    """

    handler: str
    description: str
    queue: sqs.IQueue
    environment: Mapping[str, str]
    statements: Sequence[iam.PolicyStatement]
    memory_mb: int
    timeout_seconds: int
    batch_size: int
    maximum_concurrency: int
    is_recursive: bool = False


class QueueFunction(Construct):
    """A function that receives batches from a queue. Its role allows the spec's statements, logs and traces only.

    Raises `SettingsError` when the settings make its policy too large.
    """

    def __init__(self, scope: Construct, construct_id: str, spec: FunctionSpec, defaults: FunctionDefaults) -> None:
        super().__init__(scope, construct_id)
        settings = defaults.settings
        self.memory_mb = spec.memory_mb
        self.is_recursive = spec.is_recursive
        self.log_group = self._log_group(settings)
        self.role = role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        self.function = lambda_.Function(
            self,
            "Function",
            description=f"{settings.deployment_name}: {spec.description}",
            runtime=RUNTIME,
            architecture=ARCHITECTURE,
            code=defaults.code,
            handler=spec.handler,
            layers=[defaults.layer],
            memory_size=spec.memory_mb,
            timeout=Duration.seconds(spec.timeout_seconds),
            environment=dict(spec.environment),
            log_group=self.log_group,
            role=role.without_policy_updates(),  # so that CDK adds no permissions; the policy below holds all of them
            tracing=lambda_.Tracing.ACTIVE,
            # Lambda stops a chain of about 16 invocations of a function by messages of its own (Lambda Developer Guide,
            # "recursive loop detection"). Where there is to be no such chain, that guard stays.
            recursive_loop=lambda_.RecursiveLoop.ALLOW if spec.is_recursive else None,
            snap_start=lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS if settings.function.snap_start else None,
        )
        # SnapStart works on published versions. The alias stays the same when a new version is published.
        target: lambda_.IFunction = (
            lambda_.Alias(self, "Live", alias_name="live", version=self.function.current_version)
            if settings.function.snap_start
            else self.function
        )
        statements = [*spec.statements, *_runtime_statements(self.log_group)]
        if defaults.network is not None:
            defaults.network.attach(self.function)
            statements += network_statements(self)
        policy = iam.Policy(self, "Policy", roles=[role], statements=statements)
        check_policy(settings, Stack.of(self), policy.document)
        self.function.node.add_dependency(policy)
        mapping = lambda_.CfnEventSourceMapping(
            self,
            "QueueMapping",
            event_source_arn=spec.queue.queue_arn,
            function_name=target.function_arn,
            batch_size=spec.batch_size,
            maximum_batching_window_in_seconds=settings.batching_window_seconds if spec.batch_size > 1 else 0,
            function_response_types=["ReportBatchItemFailures"],
            scaling_config=lambda_.CfnEventSourceMapping.ScalingConfigProperty(
                maximum_concurrency=spec.maximum_concurrency
            ),
        )
        mapping.node.add_dependency(policy)

    def _log_group(self, settings: Settings) -> logs.LogGroup:
        log_group = logs.LogGroup(
            self, "Logs", removal_policy=RemovalPolicy.RETAIN if settings.retain_data else RemovalPolicy.DESTROY
        )
        # The L2 property takes an enumeration of retentions; the L1 property takes the number of days.
        resource = log_group.node.default_child
        assert isinstance(resource, logs.CfnLogGroup)  # noqa: S101 - tells the type checker what CDK promises
        resource.retention_in_days = settings.retention.log_days
        return log_group


def _runtime_statements(log_group: logs.LogGroup) -> list[iam.PolicyStatement]:
    return [
        iam.PolicyStatement(
            sid="WriteLogs",
            actions=["logs:CreateLogStream", "logs:PutLogEvents"],
            resources=[log_group.log_group_arn],
        ),
        # The write actions of X-Ray support no resource types (Service Authorization Reference).
        iam.PolicyStatement(
            sid="WriteTraces", actions=["xray:PutTraceSegments", "xray:PutTelemetryRecords"], resources=["*"]
        ),
    ]
