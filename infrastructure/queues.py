"""The request queue and the dead-letter queue behind it."""

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infrastructure.settings import MAX_MESSAGE_BYTES, REASON_BYTES, Settings


class Queues(Construct):
    """Encrypted queues that only TLS reaches; S3 of this account may send to the request queue."""

    def __init__(self, scope: Construct, construct_id: str, settings: Settings) -> None:
        super().__init__(scope, construct_id)
        removal_policy = RemovalPolicy.RETAIN if settings.retain_data else RemovalPolicy.DESTROY
        self.dead_letter_queue = sqs.Queue(
            self,
            "DeadLetterQueue",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(settings.dead_letter_retention_days),
            removal_policy=removal_policy,
        )
        self.request_queue = sqs.Queue(
            self,
            "RequestQueue",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            visibility_timeout=Duration.seconds(settings.visibility_timeout),
            retention_period=Duration.days(settings.request_retention_days),
            receive_message_wait_time=Duration.seconds(20),
            # A body that fills a whole message would leave its dead-letter message no room for the reason: SQS tells
            # the sender at once.
            max_message_size_bytes=MAX_MESSAGE_BYTES - REASON_BYTES,
            # The function routes the last receive itself, with its reason. This is for what it can't: crashes.
            dead_letter_queue=sqs.DeadLetterQueue(
                queue=self.dead_letter_queue, max_receive_count=settings.max_receive_count
            ),
            removal_policy=removal_policy,
        )
        # By account, not by bucket: the bucket needs this policy to be there first, so it can't wait for the bucket.
        self.request_queue.add_to_resource_policy(
            iam.PolicyStatement(
                sid="S3OfThisAccount",
                principals=[iam.ServicePrincipal("s3.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[self.request_queue.queue_arn],
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            )
        )
