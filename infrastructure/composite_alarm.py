"""The composite alarm: one for all alarms of a deployment, so that one cause sends one notification."""

from aws_cdk import App, Stack
from aws_cdk import aws_cloudwatch as cloudwatch

from infrastructure.alarms import add_actions
from infrastructure.pipeline import SluicePipeline


class CompositeAlarmStack(Stack):
    """A composite alarm over the alarms of `pipeline`, which must have some.

    It has a stack of its own, because not every implementation of CloudFormation supports the resource type.
    """

    def __init__(self, scope: App, pipeline: SluicePipeline) -> None:
        settings = pipeline.settings
        super().__init__(
            scope,
            f"{settings.deployment_name}-Health",
            description=f"Sluice: one alarm over all alarms of {settings.deployment_name}",
        )
        alarms = pipeline.alarms
        assert alarms is not None  # noqa: S101 - the settings allow no composite alarm without alarms
        composite = cloudwatch.CompositeAlarm(
            self,
            "NeedsAttention",
            alarm_rule=cloudwatch.AlarmRule.any_of(*alarms.all),
            alarm_description=f"{settings.deployment_name} needs attention. See which of its alarms are on; each says "
            "what it means and what to do.",
        )
        if alarms.topic is not None:
            add_actions(composite, alarms.topic)
