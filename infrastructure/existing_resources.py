"""The requirements for existing resources, checked at construction or at synth.

Synth knows all properties of a resource of the same app, but only the name of an imported one. docs/construct.md has
the requirements for those.
"""

from collections.abc import Iterator
from typing import Any

import jsii
from aws_cdk import Token
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct, IValidation

from infrastructure.errors import SettingsError
from infrastructure.settings import Settings

_SECONDS_PER_DAY = 86_400
# What SQS takes for properties that a queue doesn't have (CreateQueue API page).
_SQS_RETENTION_DAYS = 4
_SQS_VISIBILITY_TIMEOUT_SECONDS = 30


def check_existing(
    scope: Construct,
    settings: Settings,
    *,
    input_bucket: s3.IBucket | None,
    results_bucket: s3.IBucket | None,
    request_queue: sqs.IQueue | None,
    dead_letter_queue: sqs.IQueue | None,
) -> None:
    """Raise `SettingsError` for resources that can't work, and have synth validate the properties of the others."""
    if input_bucket and results_bucket and input_bucket.bucket_name == results_bucket.bucket_name:
        raise SettingsError(
            "results_bucket: is the input bucket, where results would be taken for inputs; give another one"
        )
    for name, queue in (("request_queue", request_queue), ("dead_letter_queue", dead_letter_queue)):
        if queue is not None and queue.fifo:
            raise SettingsError(f"{name}: is a FIFO queue; give a standard one, because S3 sends to no other")
    if request_queue and dead_letter_queue and request_queue.queue_arn == dead_letter_queue.queue_arn:
        raise SettingsError("dead_letter_queue: is the request queue; give another one")
    scope.node.add_validation(_ExistingResources(settings, input_bucket, request_queue, dead_letter_queue))


@jsii.implements(IValidation)
class _ExistingResources:
    """The checks of a bucket and of queues of the same app, which synth runs when the whole app is constructed."""

    def __init__(
        self,
        settings: Settings,
        input_bucket: s3.IBucket | None,
        request_queue: sqs.IQueue | None,
        dead_letter_queue: sqs.IQueue | None,
    ) -> None:
        self._settings = settings
        self._input_bucket = input_bucket
        self._request_queue = request_queue
        self._dead_letter_queue = dead_letter_queue

    def validate(self) -> list[str]:
        """Return the problems, one line each."""
        bucket = self._input_bucket.node.default_child if self._input_bucket else None
        queue = self._request_queue.node.default_child if self._request_queue else None
        dead = self._dead_letter_queue.node.default_child if self._dead_letter_queue else None
        return [
            *(self._dead_letter_queue_problems(dead) if isinstance(dead, sqs.CfnQueue) else ()),
            *(self._input_bucket_problems(bucket) if isinstance(bucket, s3.CfnBucket) else ()),
            *(self._request_queue_problems(queue) if isinstance(queue, sqs.CfnQueue) else ()),
        ]

    def _input_bucket_problems(self, bucket: s3.CfnBucket) -> Iterator[str]:
        configuration = getattr(bucket.notification_configuration, "event_bridge_configuration", None)
        # `event_bridge_enabled` adds a custom resource of this name next to the bucket.
        if (
            configuration is None
            and bucket.node.scope
            and bucket.node.scope.node.try_find_child("Notifications") is None
        ):
            yield "input_bucket: sends no events to EventBridge, so no input would be noticed; set event_bridge_enabled"

    def _dead_letter_queue_problems(self, queue: sqs.CfnQueue) -> Iterator[str]:
        stated = queue.message_retention_period
        seconds = _SQS_RETENTION_DAYS * _SECONDS_PER_DAY if stated is None else stated
        days = self._settings.retention.request_days
        if not Token.is_unresolved(seconds) and seconds <= days * _SECONDS_PER_DAY:
            yield f"dead_letter_queue: keeps messages no longer than requests, {days} days; raise its retention period"

    def _request_queue_problems(self, queue: sqs.CfnQueue) -> Iterator[str]:
        stated = queue.visibility_timeout
        visibility = _SQS_VISIBILITY_TIMEOUT_SECONDS if stated is None else stated
        least = self._settings.visibility_timeout
        if not Token.is_unresolved(visibility) and visibility < least:
            yield f"request_queue: its visibility timeout is {visibility:g} s; give it at least {least}"
        receives = self._settings.retry.max_receive_count
        policy: Any = queue.redrive_policy
        if policy is None:
            yield (
                "request_queue: has no redrive policy, so a message that crashes the function would be received until "
                "it expires; give it one to the pipeline's crashed_queue"
            )
        elif isinstance(policy, dict) and policy.get("maxReceiveCount", receives) < receives:
            yield (
                f"request_queue: SQS moves messages off it at receive {policy['maxReceiveCount']:g}, before the "
                "function dead-letters them with a reason; set maxReceiveCount to sluice.retry.max_receive_count, "
                f"{receives}"
            )
