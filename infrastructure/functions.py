"""The functions: the unit that a queue feeds, and the four that are such units."""

from collections.abc import Mapping, Sequence

from aws_cdk import Annotations, Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infrastructure import network as networks
from infrastructure.build import Target
from infrastructure.bytecode import LAMBDA_PYTHON, interpreter
from infrastructure.code import code
from infrastructure.dependencies import layer
from infrastructure.environment import environment
from infrastructure.network import Network
from infrastructure.permissions import Permissions
from infrastructure.queues import (
    ASSEMBLE_TIMEOUT_SECONDS,
    CRASHED_TIMEOUT_SECONDS,
    SPLIT_TIMEOUT_SECONDS,
    Queues,
)
from infrastructure.settings import Settings
from infrastructure.storage import Storage

_RUNTIME = lambda_.Runtime.PYTHON_3_13
_ARCHITECTURE = lambda_.Architecture.ARM_64
_SMALL_MEMORY_MB = 256  # for a function that holds one message at a time
_STREAM_MEMORY_MB = 512  # for functions that hold some 8 MB of a file at a time


class Functions(Construct):
    """All functions, with the layer of their dependencies."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        storage: Storage,
        queues: Queues,
        network: Network | None,
        built_for: Target,
    ) -> None:
        super().__init__(scope, construct_id)
        if interpreter(built_for) is None:
            Annotations.of(self).add_info(
                f"python{LAMBDA_PYTHON} is not on the PATH, so the functions go without bytecode: they work, but each "
                "cold start compiles them, which takes several times as long"
            )
        self.layer = dependencies = lambda_.LayerVersion(
            self,
            "Dependencies",
            code=lambda_.Code.from_asset(str(layer(built_for))),
            compatible_runtimes=[_RUNTIME],
            compatible_architectures=[_ARCHITECTURE],
            description="lambdas/requirements.txt",
        )
        self.code = uploaded = lambda_.Code.from_asset(str(code(built_for)))
        permissions = Permissions(self, settings, storage, queues)
        self.all: list[QueueFunction] = []
        self.invoke = QueueFunction(
            self,
            "Invoke",
            handler="invoke.handler",
            description=f"{settings.deployment_name}: validates requests, calls InvokeEndpoint, stores the inference",
            settings=settings,
            queue=queues.request_queue,
            environment=environment(settings, storage, queues, queues.request_queue),
            statements=permissions.invoke(),
            code=uploaded,
            layer=dependencies,
            network=network,
            memory_mb=settings.memory_mb,
            timeout_seconds=settings.function_timeout,
            maximum_concurrency=settings.maximum_concurrency,
            batch_size=settings.batch_size,
        )
        self.all.append(self.invoke)
        for name, queue, statements, timeout_seconds, memory_mb, batch_size, description in (
            (
                "Split",
                queues.split_queue,
                permissions.split(),
                SPLIT_TIMEOUT_SECONDS,
                _STREAM_MEMORY_MB,
                1,
                "splits files that were dropped under transform/",
            ),
            (
                "Assemble",
                queues.assembly_queue,
                permissions.assemble(),
                ASSEMBLE_TIMEOUT_SECONDS,
                _STREAM_MEMORY_MB,
                1,
                "makes the answered parts of a file one",
            ),
            (
                "Crashed",
                queues.crashed_queue,
                permissions.crashed(),
                CRASHED_TIMEOUT_SECONDS,
                _SMALL_MEMORY_MB,
                settings.batch_size,
                "gives a reason to requests that crashed the other functions",
            ),
        ):
            function = QueueFunction(
                self,
                name,
                handler=f"{name.lower()}.handler",
                description=f"{settings.deployment_name}: {description}",
                settings=settings,
                queue=queue,
                environment=environment(settings, storage, queues, queue),
                statements=statements,
                code=uploaded,
                layer=dependencies,
                network=network,
                memory_mb=memory_mb,
                timeout_seconds=timeout_seconds,
                maximum_concurrency=2,
                batch_size=batch_size,
            )
            self.all.append(function)


class QueueFunction(Construct):
    """A function that takes batches off a queue: its log group, its role, its event source mapping."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        handler: str,
        description: str,
        settings: Settings,
        queue: sqs.IQueue,
        environment: Mapping[str, str],
        statements: Sequence[iam.PolicyStatement],
        code: lambda_.Code,
        layer: lambda_.LayerVersion,
        network: Network | None,
        memory_mb: int,
        timeout_seconds: int,
        maximum_concurrency: int,
        batch_size: int,
    ) -> None:
        super().__init__(scope, construct_id)
        self.memory_mb = memory_mb
        self.log_group = log_group = logs.LogGroup(
            self, "Logs", removal_policy=RemovalPolicy.RETAIN if settings.retain_data else RemovalPolicy.DESTROY
        )
        # CDK has names for the retentions; CloudFormation takes the days.
        resource = log_group.node.default_child
        assert isinstance(resource, logs.CfnLogGroup)  # noqa: S101 - tells the type checker what CDK promises
        resource.retention_in_days = settings.log_retention_days
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        self.function = lambda_.Function(
            self,
            "Function",
            description=description,
            runtime=_RUNTIME,
            architecture=_ARCHITECTURE,
            code=code,
            handler=handler,
            layers=[layer],
            memory_size=memory_mb,
            timeout=Duration.seconds(timeout_seconds),
            environment=dict(environment),
            log_group=log_group,
            role=role.without_policy_updates(),  # all that it may do is in `statements` and the two below
            tracing=lambda_.Tracing.ACTIVE,
            snap_start=lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS if settings.snap_start else None,
        )
        # A snapshot is of a published version; the alias is what stays when the version goes.
        taker: lambda_.IFunction = (
            lambda_.Alias(self, "Live", alias_name="live", version=self.function.current_version)
            if settings.snap_start
            else self.function
        )
        allowed = [*statements, *_runtime_statements(log_group)]
        if network is not None:
            network.join(self.function)
            allowed += networks.statements(self)
        policy = iam.Policy(self, "Policy", roles=[role], statements=allowed)
        self.function.node.add_dependency(policy)
        mapping = lambda_.CfnEventSourceMapping(
            self,
            "QueueMapping",
            event_source_arn=queue.queue_arn,
            function_name=taker.function_arn,
            batch_size=batch_size,
            maximum_batching_window_in_seconds=settings.batching_window_seconds if batch_size > 1 else 0,
            function_response_types=["ReportBatchItemFailures"],
            scaling_config=lambda_.CfnEventSourceMapping.ScalingConfigProperty(maximum_concurrency=maximum_concurrency),
        )
        mapping.node.add_dependency(policy)


def _runtime_statements(log_group: logs.LogGroup) -> list[iam.PolicyStatement]:
    return [
        iam.PolicyStatement(
            sid="WriteLogs",
            actions=["logs:CreateLogStream", "logs:PutLogEvents"],
            resources=[log_group.log_group_arn],
        ),
        # X-Ray's write actions know no resources.
        iam.PolicyStatement(
            sid="WriteTraces", actions=["xray:PutTraceSegments", "xray:PutTelemetryRecords"], resources=["*"]
        ),
    ]
