"""The stack: composes the units, and says where they are."""

from aws_cdk import App, CfnOutput, Stack

from infrastructure.build import Target
from infrastructure.functions import Functions
from infrastructure.notifications import Notifications
from infrastructure.queues import Queues
from infrastructure.settings import Settings
from infrastructure.storage import INVOKE_PREFIX, TRANSFORM_PREFIX, Storage


class SluiceStack(Stack):
    """One deployment, for any account and region. `built_for` says where its functions will run."""

    def __init__(self, scope: App, settings: Settings, *, built_for: Target = "lambda") -> None:
        super().__init__(
            scope,
            settings.deployment_name,
            description="Sluice: the event-driven way into Amazon SageMaker endpoints",
        )
        storage = Storage(self, "Storage", settings)
        queues = Queues(self, "Queues", settings)
        storage.notify({INVOKE_PREFIX: queues.request_queue, TRANSFORM_PREFIX: queues.split_queue})
        functions = Functions(self, "Functions", settings=settings, storage=storage, queues=queues, built_for=built_for)
        Notifications(self, "Notifications", settings=settings, storage=storage, queues=queues, functions=functions)
        for name, value, description in (
            ("InputBucketName", storage.input_bucket.bucket_name, "Drop files here, under invoke/ or transform/"),
            ("ResultsBucketName", storage.results_bucket.bucket_name, "Inferences (.out) and failures (.err)"),
            ("RequestQueueUrl", queues.request_queue.queue_url, "Send messages here"),
            ("DeadLetterQueueUrl", queues.dead_letter_queue.queue_url, "What failed, with its reason in attributes"),
            ("SplitQueueUrl", queues.split_queue.queue_url, "Files under transform/, to be split"),
            ("AssemblyQueueUrl", queues.assembly_queue.queue_url, "Files whose parts are answered"),
            ("CrashedQueueUrl", queues.crashed_queue.queue_url, "What crashed, until it has its reason"),
            ("LogGroupNames", ",".join(one.log_group.log_group_name for one in functions.all), "All functions' logs"),
            ("InvokeFunctionName", functions.invoke.function.function_name, "The function that calls the endpoints"),
        ):
            CfnOutput(self, name, value=value, description=description)
