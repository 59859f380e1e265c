"""The stack: one pipeline and its outputs."""

from aws_cdk import App, Stack

from infrastructure.build import Target
from infrastructure.pipeline import SluicePipeline
from infrastructure.settings import Settings


class SluiceStack(Stack):
    """One deployment, for any account and region. `built_for` says where its functions will run."""

    def __init__(self, scope: App, settings: Settings, *, built_for: Target = "lambda") -> None:
        super().__init__(
            scope,
            settings.deployment_name,
            description="Sluice: the event-driven way into Amazon SageMaker endpoints",
        )
        # CDK leaves the ID Default out of logical IDs, so they are the same as for children of the stack itself.
        self.pipeline = SluicePipeline(self, "Default", settings=settings, built_for=built_for)
        self.pipeline.outputs()
