"""What each function may do: only what it does, and only where."""

from collections.abc import Sequence

from aws_cdk import Stack, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infrastructure import encryption
from infrastructure.endpoints import Endpoint
from infrastructure.errors import SettingsError
from infrastructure.queues import Queues
from infrastructure.settings import Settings
from infrastructure.storage import Storage


class Permissions:
    """The statements of the functions' policies, besides those for logs and traces."""

    def __init__(self, scope: Construct, settings: Settings, storage: Storage, queues: Queues) -> None:
        self._storage = storage
        self._queues = queues
        stack = Stack.of(scope)
        self._inputs: list[s3.IBucket] = [
            storage.input_bucket,
            *(
                s3.Bucket.from_bucket_name(scope, f"Listed{number}", name)
                for number, name in enumerate(settings.input_location_buckets)
            ),
        ]
        self._endpoints = [_arn(stack, endpoint) for endpoint in settings.endpoints]

    def invoke(self) -> list[iam.PolicyStatement]:
        """Of the invoke function."""
        return [
            _allow("InvokeEndpoints", ["sagemaker:InvokeEndpoint"], self._endpoints),
            *self._split(),
            _read(self._inputs),
            *self._replace_results(),
            *self._settle(self._queues.request_queue, self._inputs),
        ]

    def split(self) -> list[iam.PolicyStatement]:
        """Of the split function: files come from the input bucket alone, and no earlier result is looked for."""
        files = [self._storage.input_bucket]
        return [
            *self._split(),
            _read(files),
            _allow("TellMissingFromForbidden", ["s3:ListBucket"], [bucket.bucket_arn for bucket in files]),
            self._store_results("s3:GetObject", "s3:PutObject"),
            *self._settle(self._queues.split_queue, files),
        ]

    def assemble(self) -> list[iam.PolicyStatement]:
        """Of the assemble function: all it reads are results."""
        results = self._storage.results_bucket
        return [
            self._abort_uploads(),
            self._store_results("s3:GetObject", "s3:PutObject", "s3:DeleteObject"),
            _allow("TellMissingFromForbidden", ["s3:ListBucket"], [results.bucket_arn]),
            *self._settle(self._queues.assembly_queue, ()),
        ]

    def crashed(self) -> list[iam.PolicyStatement]:
        """Of the crashed function: it calls no endpoint."""
        return [
            _read(self._inputs),
            *self._replace_results(),
            *self._settle(self._queues.crashed_queue, self._inputs),
        ]

    def _split(self) -> list[iam.PolicyStatement]:
        """Unpack a file, and send its parts on."""
        return [
            _allow("SendParts", ["sqs:SendMessage"], [self._queues.request_queue.queue_arn]),
            _allow("SendAssemblies", ["sqs:SendMessage"], [self._queues.assembly_queue.queue_arn]),
            self._abort_uploads(),
        ]

    def _abort_uploads(self) -> iam.PolicyStatement:
        return _allow("AbortUploads", ["s3:AbortMultipartUpload"], [self._storage.results_bucket.arn_for_objects("*")])

    def _store_results(self, *actions: str) -> iam.PolicyStatement:
        return _allow("StoreResults", list(actions), [self._storage.results_bucket.arn_for_objects("*")])

    def _replace_results(self) -> list[iam.PolicyStatement]:
        """Look for results, store them, and remove an `.err` that counts no more."""
        return [
            self._store_results("s3:GetObject", "s3:PutObject", "s3:DeleteObject"),
            # Without it S3 says 403 of what is not there, and a missing object would be retried like a wrong policy.
            _allow(
                "TellMissingFromForbidden",
                ["s3:ListBucket"],
                [bucket.bucket_arn for bucket in (*self._inputs, self._storage.results_bucket)],
            ),
        ]

    def _settle(self, source: sqs.IQueue, inputs: Sequence[s3.IBucket]) -> list[iam.PolicyStatement]:
        """Take requests off `source`, return them later, dead-letter what fails; the keys of that, and of `inputs`."""
        return [
            _allow(
                "TakeRequests",
                ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"],
                [source.queue_arn],
            ),
            _allow("SendDeadLetters", ["sqs:SendMessage"], [self._queues.dead_letter_queue.queue_arn]),
            *encryption.statements(
                read=[bucket.encryption_key for bucket in inputs],
                used=[
                    self._storage.results_bucket.encryption_key,
                    *(queue.encryption_master_key for queue in self._queues.all),
                ],
            ),
        ]


def _read(inputs: Sequence[s3.IBucket]) -> iam.PolicyStatement:
    return _allow("ReadInputs", ["s3:GetObject"], [bucket.arn_for_objects("*") for bucket in inputs])


def _allow(sid: str, actions: list[str], resources: list[str]) -> iam.PolicyStatement:
    return iam.PolicyStatement(sid=sid, actions=actions, resources=resources)


def _arn(stack: Stack, endpoint: Endpoint) -> str:
    """The endpoint's ARN, as IAM compares it.

    Raises `SettingsError` when a stated one isn't in the stack's own region and account: InvokeEndpoint takes names
    alone, and so finds no endpoint elsewhere.
    """
    if endpoint.stated_arn is None or endpoint.place is None:
        # SageMaker's ARNs have the name in lower case.
        return stack.format_arn(service="sagemaker", resource="endpoint", resource_name=endpoint.name.lower())
    for what, its, own in zip(("region", "account"), endpoint.place, (stack.region, stack.account), strict=True):
        if not Token.is_unresolved(own) and its != own:
            raise SettingsError(
                f"sluice.endpoint_names: {endpoint.stated_arn} is in {what} {its}, the stack in {own}; "
                "deploy a pipeline where the endpoint is"
            )
    return endpoint.stated_arn
