"""The permissions of each function: the actions that it uses, on the resources that it uses them on."""

from collections.abc import Sequence

from aws_cdk import Stack, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
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
    """The policy statements of the functions that handle requests, without those for logs and traces."""

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
        self._listed_keys: list[kms.IKey] = [
            kms.Key.from_key_arn(scope, f"ListedKey{number}", arn)
            for number, arn in enumerate(settings.input_location_key_arns)
        ]
        self._endpoint_arns = [_endpoint_arn(stack, endpoint) for endpoint in settings.endpoints]
        # With InferenceComponentName, InvokeEndpoint is authorized for the component, too (Service Authorization
        # Reference, Amazon SageMaker).
        self._endpoint_arns += _component_arns(stack, settings.endpoints)

    def invoke(self) -> list[iam.PolicyStatement]:
        """Return the statements of the invoke function."""
        return [
            _allow("InvokeEndpoints", ["sagemaker:InvokeEndpoint"], self._endpoint_arns),
            *self._split_files(),
            _read(self._inputs),
            *self._replace_results(self._inputs),
            *self._consume(self._queues.request_queue, self._inputs),
        ]

    def part(self) -> list[iam.PolicyStatement]:
        """Return the statements of the part function. It reads files from the input bucket only."""
        files = [self._storage.input_bucket]
        return [
            _allow("InvokeEndpoints", ["sagemaker:InvokeEndpoint"], self._endpoint_arns),
            self._send_parts(),
            self._send_assemblies(),
            _read(files),
            # It stores no result of a file, so it withdraws no version of one.
            *self._store_results(files, []),
            *self._consume(self._queues.part_queue, files),
        ]

    def split(self) -> list[iam.PolicyStatement]:
        """Return the statements of the split function. It reads files from the input bucket only."""
        files = [self._storage.input_bucket]
        return [
            *self._split_files(),
            _read(files),
            *self._replace_results(files),
            *self._consume(self._queues.split_queue, files),
        ]

    def assemble(self) -> list[iam.PolicyStatement]:
        """Return the statements of the assemble function. It reads no file, but looks for its newest version."""
        files = [self._storage.input_bucket]
        return [
            self._abort_uploads(),
            _read(files),
            *self._replace_results(files),
            *self._consume(self._queues.assembly_queue, files),
        ]

    def crashed(self) -> list[iam.PolicyStatement]:
        """Return the statements of the crashed function. It calls no endpoint, and sends what was left to be sent."""
        return [
            _read(self._inputs),
            self._send_assemblies(),
            *self._replace_results(self._inputs),
            *self._consume(self._queues.crashed_queue, self._inputs),
        ]

    def _split_files(self) -> list[iam.PolicyStatement]:
        """Return the permissions to unpack a file and to send its parts as messages."""
        return [
            self._send_parts(),
            self._send_assemblies(),
            self._abort_uploads(),
        ]

    def _send_parts(self) -> iam.PolicyStatement:
        return _allow("SendParts", ["sqs:SendMessage"], [self._queues.queue_of_parts.queue_arn])

    def _send_assemblies(self) -> iam.PolicyStatement:
        return _allow("SendAssemblies", ["sqs:SendMessage"], [self._queues.assembly_queue.queue_arn])

    def _abort_uploads(self) -> iam.PolicyStatement:
        return _allow("AbortUploads", ["s3:AbortMultipartUpload"], [self._storage.results_bucket.arn_for_objects("*")])

    def _replace_results(self, inputs: Sequence[s3.IBucket]) -> list[iam.PolicyStatement]:
        """Return the permissions to look for results and for the newest inputs, to store results, and to remove some.

        Removed are an `.err` that is out of date, and a version of a result that hides the answer to a newer upload.
        """
        return [
            *self._store_results(inputs, ["s3:GetObjectVersion", "s3:DeleteObjectVersion"]),
            _allow("ListVersions", ["s3:ListBucketVersions"], [self._storage.results_bucket.bucket_arn]),
        ]

    def _store_results(self, inputs: Sequence[s3.IBucket], more_actions: list[str]) -> list[iam.PolicyStatement]:
        results = self._storage.results_bucket
        actions = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", *more_actions]
        return [_allow("StoreResults", actions, [results.arn_for_objects("*")]), _list_buckets([*inputs, results])]

    def _consume(self, source: sqs.IQueue, inputs: Sequence[s3.IBucket]) -> list[iam.PolicyStatement]:
        """Return the permissions to receive, return and dead-letter requests, and those for all keys in use."""
        read = [bucket.encryption_key for bucket in inputs]
        return [
            _allow(
                "TakeRequests",
                ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"],
                [source.queue_arn],
            ),
            _allow("SendDeadLetters", ["sqs:SendMessage"], [self._queues.dead_letter_queue.queue_arn]),
            *encryption.statements(
                read=[*read, *self._listed_keys] if inputs is self._inputs else read,
                read_and_written=[self._storage.results_bucket.encryption_key, *self._queues.encryption_keys],
            ),
        ]


def _read(buckets: Sequence[s3.IBucket]) -> iam.PolicyStatement:
    return _allow("ReadInputs", ["s3:GetObject"], [bucket.arn_for_objects("*") for bucket in buckets])


def _list_buckets(buckets: Sequence[s3.IBucket]) -> iam.PolicyStatement:
    # Without s3:ListBucket, S3 answers 403 instead of 404 for a missing object (GetObject API page). The function would
    # then retry it like a wrong policy.
    return _allow("TellMissingFromForbidden", ["s3:ListBucket"], [bucket.bucket_arn for bucket in buckets])


def _allow(sid: str, actions: list[str], resources: list[str]) -> iam.PolicyStatement:
    return iam.PolicyStatement(sid=sid, actions=actions, resources=resources)


def _endpoint_arn(stack: Stack, endpoint: Endpoint) -> str:
    """Return the endpoint's ARN as IAM compares it.

    Raises `SettingsError` when the ARN in the settings is not in the stack's account: InvokeEndpoint takes a name, and
    so finds no endpoint elsewhere. `check_regions` has checked its region.
    """
    # SageMaker's ARNs have the name in lower case, and IAM compares them as they are.
    if endpoint.iam_arn is None or endpoint.region_and_account is None:
        return stack.format_arn(service="sagemaker", resource="endpoint", resource_name=endpoint.name.lower())
    _, account = endpoint.region_and_account
    if not Token.is_unresolved(stack.account) and account != stack.account:
        raise SettingsError(
            f"sluice.endpoint_names: {endpoint.arn} is in account {account}, the stack in {stack.account}; "
            "deploy the pipeline where the endpoint is"
        )
    return endpoint.iam_arn


def _component_arns(stack: Stack, endpoints: Sequence[Endpoint]) -> list[str]:
    """Return the ARNs of the inference components, in the case of their names and in lower case.

    Whether SageMaker writes these ARNs in lower case, too, is not documented.
    """
    names = [name for endpoint in endpoints for name in endpoint.inference_components]
    return [
        stack.format_arn(service="sagemaker", resource="inference-component", resource_name=name)
        for name in dict.fromkeys(form for name in names for form in (name, name.lower()))
    ]
