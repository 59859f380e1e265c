"""The CDK app: `cdk synth`, `cdk deploy`, or `python app.py`, which needs no CDK CLI and no AWS account."""

import json
import sys
from pathlib import Path

import aws_cdk as cdk

from infrastructure.build import BuildError
from infrastructure.settings import Settings, SettingsError
from infrastructure.stack import SluiceStack

_CDK_JSON = Path(__file__).with_name("cdk.json")


def main() -> None:
    """Synthesize the stack to `CDK_OUTDIR` or cdk.out."""
    context = json.loads(_CDK_JSON.read_text())["context"]
    app = cdk.App(context=context)  # values in CDK_CONTEXT_JSON, from the CDK CLI, take precedence
    try:
        settings = Settings.from_context(context.get("sluice"), app.node.try_get_context("sluice"))
        SluiceStack(app, settings, built_for=app.node.try_get_context("sluice:built-for") or "lambda")
        app.synth()
    except (SettingsError, BuildError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
