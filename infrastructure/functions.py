"""The functions that handle requests: invoke, part, split, assemble and crashed."""

from collections.abc import Iterator

from aws_cdk import Annotations, Fn
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infrastructure.build import Target
from infrastructure.bytecode import explanation, interpreter
from infrastructure.code import code
from infrastructure.dependencies import layer
from infrastructure.environment import INTERNAL_SENDERS, environment
from infrastructure.network import Network
from infrastructure.permissions import Permissions
from infrastructure.queue_function import ARCHITECTURE, RUNTIME, FunctionDefaults, FunctionSpec, QueueFunction
from infrastructure.queues import Queues
from infrastructure.senders import allow_only
from infrastructure.settings import Settings
from infrastructure.storage import Storage
from infrastructure.timeouts import ASSEMBLE_TIMEOUT_SECONDS, CRASHED_TIMEOUT_SECONDS, SPLIT_TIMEOUT_SECONDS

_CRASHED_MEMORY_MB = 256  # it holds one message at a time
_FILE_MEMORY_MB = 512  # split and assemble hold 8 to 40 MB of a file at a time
_PART_SENDERS = ("Invoke", "Part", "Split")
_LEAST_CONCURRENCY = 2  # the lowest MaximumConcurrency that Lambda accepts for an SQS event source


class Functions(Construct):
    """The functions that handle requests, and the layer of their dependencies.

    `defaults` is what they share; a function of another construct, such as notify, is made with the same.
    """

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
            Annotations.of(self).add_info(explanation(built_for))
        bodies, calls = settings.bodies_at_once, settings.concurrent_calls
        if bodies < calls:
            Annotations.of(self).add_info(
                f"sluice.function.memory_mb: {settings.function.memory_mb} MB are enough to read {bodies} bodies of "
                f"sluice.max_body_bytes at once, and one function makes {calls} calls at once. With such bodies the "
                "others wait, and return to their queue after some seconds"
            )
        self.defaults = FunctionDefaults(
            settings=settings,
            code=lambda_.Code.from_asset(str(code(built_for))),
            layer=self._layer(built_for),
            network=network,
        )
        permissions = Permissions(self, settings, storage, queues)
        functions = {
            name: QueueFunction(self, name, spec, self.defaults)
            for name, spec in _specs(settings, storage, queues, permissions)
        }
        # The ID of a role is known once the role is made, whichever functions come to have it in their environment.
        senders = Fn.join(",", [functions[name].role.role_id for name in (*_PART_SENDERS, "Crashed")])
        for function in functions.values():
            function.function.add_environment(INTERNAL_SENDERS, senders)
        allow_only(queues.part_queue, [functions[name].role for name in _PART_SENDERS])
        self.invoke = functions["Invoke"]
        self.callers = (functions["Invoke"], functions["Part"])
        self.all = tuple(functions.values())

    def _layer(self, built_for: Target) -> lambda_.LayerVersion:
        return lambda_.LayerVersion(
            self,
            "Dependencies",
            code=lambda_.Code.from_asset(str(layer(built_for))),
            compatible_runtimes=[RUNTIME],
            compatible_architectures=[ARCHITECTURE],
            description="lambdas/requirements.txt",
        )


def _specs(
    settings: Settings, storage: Storage, queues: Queues, permissions: Permissions
) -> Iterator[tuple[str, FunctionSpec]]:
    """Yield each function's construct ID and its spec."""
    yield (
        "Invoke",
        FunctionSpec(
            handler="invoke.handler",
            description="validates requests, calls InvokeEndpoint, stores the inference",
            queue=queues.request_queue,
            environment=environment(settings, storage, queues, queues.request_queue, settings.concurrent_calls),
            statements=permissions.invoke(),
            memory_mb=settings.function.memory_mb,
            timeout_seconds=settings.function_timeout,
            batch_size=settings.batch_size,
            maximum_concurrency=settings.maximum_concurrency,
            is_recursive=queues.queue_of_parts is queues.request_queue,
        ),
    )
    yield (
        "Part",
        FunctionSpec(
            handler="part.handler",
            description="calls InvokeEndpoint for the parts of files that were dropped under transform/",
            queue=queues.part_queue,
            environment=environment(settings, storage, queues, queues.part_queue, settings.concurrent_part_calls),
            statements=permissions.part(),
            memory_mb=settings.function.memory_mb,
            timeout_seconds=settings.part_timeout,
            batch_size=1,  # a part makes as many calls at once as the function may; another one would wait for it
            maximum_concurrency=settings.maximum_part_concurrency,
            is_recursive=queues.queue_of_parts is queues.part_queue,  # lambdas/sluice/transform/onward.py: they end
        ),
    )
    yield (
        "Split",
        FunctionSpec(
            handler="split.handler",
            description="splits files that were dropped under transform/",
            queue=queues.split_queue,
            environment=environment(settings, storage, queues, queues.split_queue, settings.concurrent_calls),
            statements=permissions.split(),
            memory_mb=_FILE_MEMORY_MB,
            timeout_seconds=SPLIT_TIMEOUT_SECONDS,
            batch_size=1,
            maximum_concurrency=_LEAST_CONCURRENCY,
        ),
    )
    yield (
        "Assemble",
        FunctionSpec(
            handler="assemble.handler",
            description="assembles the results of a file's parts",
            queue=queues.assembly_queue,
            environment=environment(settings, storage, queues, queues.assembly_queue, settings.concurrent_calls),
            statements=permissions.assemble(),
            memory_mb=_FILE_MEMORY_MB,
            timeout_seconds=ASSEMBLE_TIMEOUT_SECONDS,
            batch_size=1,
            maximum_concurrency=_LEAST_CONCURRENCY,
        ),
    )
    yield (
        "Crashed",
        FunctionSpec(
            handler="crashed.handler",
            description="dead-letters requests that crashed the other functions, with a reason",
            queue=queues.crashed_queue,
            environment=environment(settings, storage, queues, queues.crashed_queue, settings.concurrent_calls),
            statements=permissions.crashed(),
            memory_mb=_CRASHED_MEMORY_MB,
            timeout_seconds=CRASHED_TIMEOUT_SECONDS,
            batch_size=settings.batch_size,
            maximum_concurrency=_LEAST_CONCURRENCY,
        ),
    )
