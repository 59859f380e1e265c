"""The health alarm: one for all of a deployment's, so that one cause sends one notice."""

from aws_cdk import App, Stack
from aws_cdk import aws_cloudwatch as cloudwatch

from infrastructure.alarms import tell
from infrastructure.pipeline import SluicePipeline


class HealthStack(Stack):
    """A composite alarm over the alarms of `pipeline`, in a stack of its own: not every CloudFormation knows it."""

    def __init__(self, scope: App, pipeline: SluicePipeline) -> None:
        settings = pipeline.settings
        super().__init__(
            scope,
            f"{settings.deployment_name}-Health",
            description=f"Sluice: one alarm over all alarms of {settings.deployment_name}",
        )
        alarms = pipeline.alarms
        assert alarms is not None  # noqa: S101 - the settings have no health alarm without alarms
        health = cloudwatch.CompositeAlarm(
            self,
            "NeedsAttention",
            alarm_rule=cloudwatch.AlarmRule.any_of(*alarms.all),
            alarm_description=f"{settings.deployment_name} needs attention: see which of its alarms are on; each says "
            "what it means and what to do.",
        )
        if alarms.topic is not None:
            tell(health, alarms.topic)
