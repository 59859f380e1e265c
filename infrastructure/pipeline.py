"""The whole pipeline as one construct, for any stack."""

from collections.abc import Iterator, Sequence

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infrastructure import event_sources
from infrastructure.alarms import Alarms
from infrastructure.build import Target
from infrastructure.dashboard import Dashboard
from infrastructure.encryption import choose_key
from infrastructure.errors import SettingsError
from infrastructure.existing_resources import check_existing
from infrastructure.functions import Functions
from infrastructure.lambda_constants import INVOKE_PREFIX, TRANSFORM_PREFIX
from infrastructure.metrics import custom_metric
from infrastructure.network import choose_network
from infrastructure.notifications import Notifications
from infrastructure.queue_function import QueueFunction
from infrastructure.queues import Queues
from infrastructure.regions import check_regions
from infrastructure.senders import allow_senders
from infrastructure.settings import Settings
from infrastructure.storage import Storage


class SluicePipeline(Construct):
    """Buckets, queues and functions, from a dropped file or a message to its result or its failure.

    All arguments but `settings` are optional: existing resources to use instead of new ones. docs/construct.md has the
    requirements for each. In short:

    - `input_bucket`: its S3 notifications stay unchanged; its events come from EventBridge, which must be on.
    - `results_bucket`: not the input bucket. Objects expire only by its own lifecycle rules.
    - `request_queue`: a standard queue with a visibility timeout of at least `settings.visibility_timeout` seconds and
      a redrive policy with a maxReceiveCount of at least `settings.retry.max_receive_count`. Its target is this
      pipeline's `crashed_queue`, so that requests that crashed get a reason, or another queue, where they arrive
      without one. The policy of an imported queue must allow S3 or EventBridge to send.
    - `dead_letter_queue`: a standard queue with a longer retention than the request queue.
    - `key`: encrypts what the pipeline makes. The policy of an imported key must allow S3 or EventBridge to use it.
    - `vpc`, `subnets` (default: the private ones), `security_groups` (default: a new one that allows all outbound
      traffic): where the functions run. They need a route to the SageMaker runtime, S3 and SQS, and to SNS for topics.

    `built_for` says where the functions will run.

    Raises `SettingsError` for arguments that can't work. What only synth can see is reported by synth.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: Settings,
        input_bucket: s3.IBucket | None = None,
        results_bucket: s3.IBucket | None = None,
        request_queue: sqs.IQueue | None = None,
        dead_letter_queue: sqs.IQueue | None = None,
        key: kms.IKey | None = None,
        vpc: ec2.IVpc | None = None,
        subnets: Sequence[ec2.ISubnet] | None = None,
        security_groups: Sequence[ec2.ISecurityGroup] | None = None,
        built_for: Target = "lambda",
    ) -> None:
        super().__init__(scope, construct_id)
        self.settings = settings
        _refuse_second_of_name(self)
        check_regions(Stack.of(self), settings)
        check_existing(
            self,
            settings,
            input_bucket=input_bucket,
            results_bucket=results_bucket,
            request_queue=request_queue,
            dead_letter_queue=dead_letter_queue,
        )
        key = choose_key(self, settings, key)
        self.storage = Storage(
            self, "Storage", settings, input_bucket=input_bucket, results_bucket=results_bucket, key=key
        )
        self.queues = Queues(
            self, "Queues", settings, request_queue=request_queue, dead_letter_queue=dead_letter_queue, key=key
        )
        event_sources.subscribe(
            self, self.storage, {INVOKE_PREFIX: self.request_queue, TRANSFORM_PREFIX: self.queues.split_queue}
        )
        allow_senders(self.request_queue, settings, own=request_queue is None)
        self.functions = Functions(
            self,
            "Functions",
            settings=settings,
            storage=self.storage,
            queues=self.queues,
            network=choose_network(self, settings, vpc=vpc, subnets=subnets, security_groups=security_groups),
            built_for=built_for,
        )
        self.notifications = Notifications(
            self, "Notifications", storage=self.storage, queues=self.queues, defaults=self.functions.defaults
        )
        self.alarms = self._alarms() if settings.alarms.enabled else None
        if settings.dashboard:
            Dashboard(
                self,
                "Dashboard",
                settings=settings,
                queues=self.queues,
                functions=self.all_functions,
                callers=self.functions.callers,
                alarms=self.alarms.all if self.alarms else (),
            )

    def _alarms(self) -> Alarms:
        return Alarms(
            self,
            "Alarms",
            settings=self.settings,
            queues=self.queues,
            functions=self.all_functions,
            invoke=self.functions.invoke,
        )

    @property
    def all_functions(self) -> Sequence[QueueFunction]:
        """The functions that handle requests, and the notify function if there is one."""
        return (*self.functions.all, *self.notifications.functions)

    @property
    def input_bucket(self) -> s3.IBucket:
        """The bucket for inputs, under invoke/ or transform/."""
        return self.storage.input_bucket

    @property
    def results_bucket(self) -> s3.IBucket:
        """The bucket of results (.out) and failures (.err)."""
        return self.storage.results_bucket

    @property
    def request_queue(self) -> sqs.IQueue:
        """The queue for requests."""
        return self.queues.request_queue

    @property
    def dead_letter_queue(self) -> sqs.IQueue:
        """The queue of failed requests, each with its reason."""
        return self.queues.dead_letter_queue

    @property
    def crashed_queue(self) -> sqs.IQueue:
        """The target of the other queues' redrive policies, for requests that crashed a function at each receive."""
        return self.queues.crashed_queue

    def grant_send(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow `grantee` to send requests, and to use the queue's key if there is one."""
        return self.request_queue.grant_send_messages(grantee)

    def grant_drop(self, grantee: iam.IGrantable) -> None:
        """Allow `grantee` to put objects under invoke/ and transform/."""
        for prefix in (INVOKE_PREFIX, TRANSFORM_PREFIX):
            self.input_bucket.grant_put(grantee, f"{prefix}*")

    def grant_read_results(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow `grantee` to read results and failures."""
        return self.results_bucket.grant_read(grantee)

    def metric(self, name: str, statistic: str = "Sum", *, seconds: int = 60) -> cloudwatch.Metric:
        """Return a metric that the functions write, such as Succeeded, DeadLettered or ModelLatency.

        `seconds` is its period. The unit of ModelLatency is milliseconds; its statistic is p99 or the like.
        """
        return custom_metric(self.settings, name, statistic, seconds=seconds)

    def outputs(self, prefix: str = "") -> None:
        """Add outputs to the stack that say where everything is. `prefix`, letters and digits, starts each name.

        The command line finds the pipeline by them: `--stack STACK`, or with a prefix, `--stack STACK/PREFIX`.

        Raises `SettingsError` when `prefix` has other characters, which CloudFormation refuses.
        """
        if prefix and not (prefix.isascii() and prefix.isalnum()):
            raise SettingsError(
                f"outputs: the prefix {prefix!r} must be letters and digits, as CloudFormation requires"
            )
        for name, value, description in self._outputs():
            CfnOutput(Stack.of(self), f"{prefix}{name}", value=value, description=description)

    def _outputs(self) -> Iterator[tuple[str, str, str]]:
        """Yield the name, the value and the description of each output."""
        queues = self.queues
        log_groups = ",".join(function.log_group.log_group_name for function in self.all_functions)
        yield "InputBucketName", self.input_bucket.bucket_name, "Put input files here, under invoke/ or transform/"
        yield "ResultsBucketName", self.results_bucket.bucket_name, "Results (.out) and failures (.err)"
        yield "RequestQueueUrl", self.request_queue.queue_url, "Send messages here"
        yield "DeadLetterQueueUrl", self.dead_letter_queue.queue_url, "Failed requests, with the reason in attributes"
        yield "PartQueueUrl", queues.part_queue.queue_url, "Parts of files under transform/ that are to be answered"
        yield "SplitQueueUrl", queues.split_queue.queue_url, "Files under transform/ that are to be split"
        yield "AssemblyQueueUrl", queues.assembly_queue.queue_url, "Files whose parts are finished"
        yield "CrashedQueueUrl", queues.crashed_queue.queue_url, "Requests that crashed a function, until dead-lettered"
        for name, queue, what in (
            ("NotificationQueueUrl", queues.notification_queue, "Results and failures to be notified of"),
            ("NotificationDeadLetterQueueUrl", queues.notification_dead_letter_queue, "Notifications that failed"),
        ):
            if queue is not None:
                yield name, queue.queue_url, what
        yield "LogGroupNames", log_groups, "The logs of all functions"
        yield (
            "InvokeFunctionName",
            self.functions.invoke.function.function_name,
            "The function that calls the endpoints",
        )
        descriptions = {"Success": "Notifications of results", "Error": "Notifications of failures"}
        for kind, topic in self.notifications.topics.items():
            yield f"{kind}TopicArn", topic.topic_arn, descriptions[kind]


def _refuse_second_of_name(pipeline: SluicePipeline) -> None:
    stack = Stack.of(pipeline)
    name = pipeline.settings.deployment_name
    for other in stack.node.find_all():
        if isinstance(other, SluicePipeline) and other is not pipeline and other.settings.deployment_name == name:
            raise SettingsError(
                f"sluice.deployment_name: another pipeline of this stack is also called {name}, and their metrics "
                "would be the same; give each its own name"
            )
