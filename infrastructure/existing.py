"""What a pipeline asks of resources that are there already: checked at once, or at synth, as far as synth can see them.

A resource of the same app is seen whole; of an imported one, its name: docs/construct.md says what it must have.
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

_SECONDS_A_DAY = 86_400


def check(
    scope: Construct,
    settings: Settings,
    *,
    input_bucket: s3.IBucket | None,
    results_bucket: s3.IBucket | None,
    request_queue: sqs.IQueue | None,
    dead_letter_queue: sqs.IQueue | None,
) -> None:
    """Raise `SettingsError` for what can't work; have synth fail for what is still wrong then."""
    if input_bucket and results_bucket and input_bucket.bucket_name == results_bucket.bucket_name:
        raise SettingsError("results_bucket: is the input bucket, whose answers would be taken for new inputs")
    for name, queue in (("request_queue", request_queue), ("dead_letter_queue", dead_letter_queue)):
        if queue is not None and queue.fifo:
            raise SettingsError(f"{name}: is a FIFO queue; give a standard one, as S3 fills no other")
    if request_queue and dead_letter_queue and request_queue.queue_arn == dead_letter_queue.queue_arn:
        raise SettingsError("dead_letter_queue: is the request queue; give another one")
    scope.node.add_validation(_Seen(settings, input_bucket, request_queue, dead_letter_queue))


@jsii.implements(IValidation)
class _Seen:
    """What synth can see of a bucket and queues of the same app, once all of the app is made."""

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
        """The problems, a line each."""
        bucket = self._input_bucket.node.default_child if self._input_bucket else None
        queue = self._request_queue.node.default_child if self._request_queue else None
        dead = self._dead_letter_queue.node.default_child if self._dead_letter_queue else None
        return [
            *(self._of_dead_letters(dead) if isinstance(dead, sqs.CfnQueue) else ()),
            *(self._of_bucket(bucket) if isinstance(bucket, s3.CfnBucket) else ()),
            *(self._of_queue(queue) if isinstance(queue, sqs.CfnQueue) else ()),
        ]

    def _of_bucket(self, bucket: s3.CfnBucket) -> Iterator[str]:
        stated = getattr(bucket.notification_configuration, "event_bridge_configuration", None)
        # `event_bridge_enabled` brings a custom resource beside the bucket, of this name.
        if stated is None and bucket.node.scope and bucket.node.scope.node.try_find_child("Notifications") is None:
            yield "input_bucket: sends no events to EventBridge, so no drop would be seen; set event_bridge_enabled"

    def _of_dead_letters(self, queue: sqs.CfnQueue) -> Iterator[str]:
        kept = 4 * _SECONDS_A_DAY if queue.message_retention_period is None else queue.message_retention_period  # SQS's
        days = self._settings.request_retention_days
        if not Token.is_unresolved(kept) and kept <= days * _SECONDS_A_DAY:
            yield f"dead_letter_queue: keeps messages no longer than requests, {days} days; raise its retention period"

    def _of_queue(self, queue: sqs.CfnQueue) -> Iterator[str]:
        visibility = 30 if queue.visibility_timeout is None else queue.visibility_timeout  # SQS's own default
        least = self._settings.visibility_timeout
        if not Token.is_unresolved(visibility) and visibility < least:
            yield f"request_queue: its visibility timeout is {visibility:g} s; give it at least {least}"
        policy: Any = queue.redrive_policy
        if policy is None:
            yield (
                "request_queue: has no redrive policy, so what crashes the function would come back until it expires; "
                "let it redrive to the pipeline's crashed_queue"
            )
        elif isinstance(policy, dict) and policy.get("maxReceiveCount", least) < self._settings.max_receive_count:
            yield (
                f"request_queue: SQS takes messages off it at receive {policy['maxReceiveCount']:g}, before the "
                "function has given them a reason; set maxReceiveCount to sluice.max_receive_count, "
                f"{self._settings.max_receive_count}"
            )
