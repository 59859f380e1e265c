"""`cdk --app "python -m local.rehearsal.existing"`: the construct in a stack of its own, with existing resources.

The context `existing` names them: `input_bucket`, `results_bucket`, `request_queue_arn` and `dead_letter_queue_arn`.
"""

import json
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs

from infrastructure.pipeline import SluicePipeline
from infrastructure.settings import Settings

_CDK_JSON = Path(__file__).parents[2] / "cdk.json"
STACK = "Team"
NAME = "Scoring"


def main() -> None:
    """Synthesize the stack."""
    app = cdk.App()
    settings = Settings.from_context(
        json.loads(_CDK_JSON.read_text())["context"]["sluice"], app.node.try_get_context("sluice")
    )
    names = json.loads(app.node.get_context("existing"))
    stack = cdk.Stack(app, STACK)
    pipeline = SluicePipeline(
        stack,
        NAME,
        settings=settings,
        input_bucket=s3.Bucket.from_bucket_name(stack, "Lake", names["input_bucket"]),
        results_bucket=s3.Bucket.from_bucket_name(stack, "Answers", names["results_bucket"]),
        request_queue=sqs.Queue.from_queue_arn(stack, "Requests", names["request_queue_arn"]),
        dead_letter_queue=sqs.Queue.from_queue_arn(stack, "Failed", names["dead_letter_queue_arn"]),
        built_for=app.node.try_get_context("sluice:built-for") or "lambda",
    )
    pipeline.outputs(NAME)
    app.synth()


if __name__ == "__main__":
    main()
