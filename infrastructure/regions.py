"""What the settings name by ARN must be in the deployment's region."""

from collections.abc import Iterator

from aws_cdk import Stack, Token

from infrastructure.errors import SettingsError
from infrastructure.settings import Settings


def check_regions(stack: Stack, settings: Settings) -> None:
    """Raise `SettingsError` when an ARN in the settings is in another region than the stack, or than another ARN.

    A bucket takes a key of its own region only (S3 User Guide, "Using server-side encryption with AWS KMS keys"), an
    alarm a topic of its own region, and the notify function calls SNS, and InvokeEndpoint SageMaker, in the stack's.
    The keys of `input_location_buckets` are where these buckets are.
    """
    known = None if Token.is_unresolved(stack.region) else ("the stack", stack.region)
    for key, arn in _arns(settings):
        region = arn.split(":")[3]
        if known is not None and region != known[1]:
            raise SettingsError(
                f"sluice.{key}: {arn} is in region {region}, {known[0]} in {known[1]}; a deployment is in one region"
            )
        known = known or (f"sluice.{key}", region)


def _arns(settings: Settings) -> Iterator[tuple[str, str]]:
    topics = settings.notifications
    for key, given in (
        *(("endpoint_names", endpoint.arn) for endpoint in settings.endpoints),
        ("kms_key_arn", settings.kms_key_arn),
        ("alarms.topic", settings.alarms.topic),
        ("notifications.success_topic", topics.success_topic),
        ("notifications.error_topic", topics.error_topic),
    ):
        if isinstance(given, str):
            yield key, given
