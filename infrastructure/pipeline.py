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

from infrastructure import arrivals, existing, metrics, senders
from infrastructure.alarms import Alarms
from infrastructure.build import Target
from infrastructure.dashboard import Dashboard
from infrastructure.encryption import key_of
from infrastructure.errors import SettingsError
from infrastructure.functions import Functions
from infrastructure.network import network_of
from infrastructure.notifications import Notifications
from infrastructure.queues import Queues
from infrastructure.settings import Settings
from infrastructure.storage import INVOKE_PREFIX, TRANSFORM_PREFIX, Storage


class SluicePipeline(Construct):
    """Buckets, queues and functions, from a dropped file or a message to its answer or its reason.

    All but `settings` is optional: resources that are there already, in place of the pipeline's own. What each of them
    must have is in docs/construct.md. In short:

    - `input_bucket`: its notifications stay as they are, so drops are seen by way of EventBridge, which must be on.
    - `results_bucket`: not the input bucket; nothing expires there but by its own lifecycle rules.
    - `request_queue`: a standard queue; visibility timeout ≥ `settings.visibility_timeout`; a redrive policy with
      maxReceiveCount ≥ `settings.max_receive_count` to this pipeline's `crashed_queue`, which gives what crashed its
      reason, or to a queue of yours, where it arrives without one. An imported one must let S3 or EventBridge send.
    - `dead_letter_queue`: a standard queue that keeps messages for longer than the request queue.
    - `key`: encrypts what the pipeline makes. An imported one must let S3 or EventBridge use it.
    - `vpc`, its `subnets` (default: the private ones) and `security_groups` (default: a new one, all out): of the
      functions. They need a way to SageMaker's runtime, S3 and SQS.

    `built_for` says where the functions will run. Raises `SettingsError` for what can't work, and has synth fail for
    what only synth sees.
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
        _one_of_its_name(self)
        existing.check(
            self,
            settings,
            input_bucket=input_bucket,
            results_bucket=results_bucket,
            request_queue=request_queue,
            dead_letter_queue=dead_letter_queue,
        )
        key = key_of(self, settings, key)
        self.storage = Storage(
            self, "Storage", settings, input_bucket=input_bucket, results_bucket=results_bucket, key=key
        )
        self.queues = Queues(
            self, "Queues", settings, request_queue=request_queue, dead_letter_queue=dead_letter_queue, key=key
        )
        arrivals.tell(
            self, self.storage, {INVOKE_PREFIX: self.request_queue, TRANSFORM_PREFIX: self.queues.split_queue}
        )
        senders.admit(self.request_queue, settings, own=request_queue is None)
        network = network_of(self, settings, vpc=vpc, subnets=subnets, security_groups=security_groups)
        self.functions = Functions(
            self,
            "Functions",
            settings=settings,
            storage=self.storage,
            queues=self.queues,
            network=network,
            built_for=built_for,
        )
        self.notifications = Notifications(
            self,
            "Notifications",
            settings=settings,
            storage=self.storage,
            queues=self.queues,
            functions=self.functions,
            network=network,
        )
        self.alarms = (
            Alarms(self, "Alarms", settings=settings, queues=self.queues, functions=self.functions)
            if settings.alarms
            else None
        )
        if settings.dashboard:
            Dashboard(
                self,
                "Dashboard",
                settings=settings,
                queues=self.queues,
                functions=self.functions,
                alarms=self.alarms.all if self.alarms else (),
            )

    @property
    def input_bucket(self) -> s3.IBucket:
        """Where files are dropped, under invoke/ or transform/."""
        return self.storage.input_bucket

    @property
    def results_bucket(self) -> s3.IBucket:
        """Where inferences (.out) and failures (.err) are."""
        return self.storage.results_bucket

    @property
    def request_queue(self) -> sqs.IQueue:
        """Where messages are sent."""
        return self.queues.request_queue

    @property
    def dead_letter_queue(self) -> sqs.IQueue:
        """What failed, with its reason."""
        return self.queues.dead_letter_queue

    @property
    def crashed_queue(self) -> sqs.IQueue:
        """What SQS takes from the other queues, as it crashed the function: the aim of their redrive policies."""
        return self.queues.crashed_queue

    def grant_send(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let `grantee` send requests, with the right to the key where there is one."""
        return self.request_queue.grant_send_messages(grantee)

    def grant_drop(self, grantee: iam.IGrantable) -> None:
        """Let `grantee` drop files under invoke/ and transform/."""
        for prefix in (INVOKE_PREFIX, TRANSFORM_PREFIX):
            self.input_bucket.grant_put(grantee, f"{prefix}*")

    def grant_read_results(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let `grantee` read what came of its requests."""
        return self.results_bucket.grant_read(grantee)

    def metric(self, name: str, statistic: str = "Sum", *, seconds: int = 60) -> cloudwatch.Metric:
        """A metric that the functions write, such as Succeeded, DeadLettered or ModelLatency (with p99, say)."""
        return metrics.own(self.settings, name, statistic, seconds=seconds)

    def outputs(self, prefix: str = "") -> None:
        """Put into the stack's outputs where everything is, each name after `prefix` (letters and digits).

        The command line finds the pipeline by them: `--stack STACK`, and with a prefix, `--stack STACK/PREFIX`. Raises
        `SettingsError` when CloudFormation can't take the prefix.
        """
        if prefix and not (prefix.isascii() and prefix.isalnum()):
            raise SettingsError(f"outputs: the prefix {prefix!r} must be letters and digits, for CloudFormation's sake")
        for name, value, description in self._outputs():
            CfnOutput(Stack.of(self), f"{prefix}{name}", value=value, description=description)

    def _outputs(self) -> Iterator[tuple[str, str, str]]:
        functions, queues = self.functions, self.queues
        yield "InputBucketName", self.input_bucket.bucket_name, "Drop files here, under invoke/ or transform/"
        yield "ResultsBucketName", self.results_bucket.bucket_name, "Inferences (.out) and failures (.err)"
        yield "RequestQueueUrl", self.request_queue.queue_url, "Send messages here"
        yield "DeadLetterQueueUrl", self.dead_letter_queue.queue_url, "What failed, with its reason in attributes"
        yield "SplitQueueUrl", queues.split_queue.queue_url, "Files under transform/, to be split"
        yield "AssemblyQueueUrl", queues.assembly_queue.queue_url, "Files whose parts are answered"
        yield "CrashedQueueUrl", queues.crashed_queue.queue_url, "What crashed, until it has its reason"
        yield "LogGroupNames", ",".join(one.log_group.log_group_name for one in functions.all), "All functions' logs"
        yield "InvokeFunctionName", functions.invoke.function.function_name, "The function that calls the endpoints"
        for kind, topic in self.notifications.topics.items():
            yield f"{kind}TopicArn", topic.topic_arn, "Notified of answers" if kind == "Success" else "And of failures"


def _one_of_its_name(pipeline: SluicePipeline) -> None:
    stack = Stack.of(pipeline)
    name = pipeline.settings.deployment_name
    for other in stack.node.find_all():
        if isinstance(other, SluicePipeline) and other is not pipeline and other.settings.deployment_name == name:
            raise SettingsError(
                f"sluice.deployment_name: another pipeline of this stack is called {name}, too, and their metrics "
                "would be one; give each its own"
            )
