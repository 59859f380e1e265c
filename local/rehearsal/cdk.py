"""The CDK CLI, as the Makefile calls it, against a local AWS."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local import aws
from local.process import LocalRunError

ROOT = Path(__file__).parents[2]
_SECONDS = 600.0
_COLOR = re.compile(r"\x1b\[[0-9;]*m")
# npm: use the cache first. CDK: print no news and send no usage data, whatever the user's own settings.
_ENVIRONMENT = {
    "npm_config_prefer_offline": "true",
    "npm_config_update_notifier": "false",
    "npm_config_fetch_retries": "1",
    "CDK_DISABLE_CLI_TELEMETRY": "true",
    "CI": "true",
    "NO_COLOR": "1",
}


class CdkUnavailableError(LocalRunError):
    """The CDK CLI is neither in npm's cache, nor can it be downloaded."""


class CdkError(LocalRunError):
    """A command of the CDK CLI failed; the message is its last lines."""


@dataclass(frozen=True)
class Cdk:
    """The CLI for one cloud assembly. `app` is the command that synthesizes; None for the one in cdk.json."""

    url: str
    directory: Path
    app: str | None = None
    context: Mapping[str, str] = field(default_factory=dict)

    @property
    def output(self) -> Path:
        """The folder of the cloud assembly."""
        return self.directory / "cdk.out"

    def bootstrap(self) -> str:
        """Prepare the account. Returns the CLI's output; raises `CdkError` if it fails."""
        # With a folder of its own: the CLI locks it, and cdk.out is the one of everything that runs in this checkout.
        return self._run("bootstrap", ["--no-notices", *self._app(), "--output", str(self.output)])

    def deploy(self, settings: Mapping[str, Any]) -> str:
        """Deploy all stacks. The same."""
        return self._run("deploy", [*self._options(settings), "--require-approval", "never", "--progress", "events"])

    def diff(self, settings: Mapping[str, Any]) -> str:
        """Compare with what is deployed. The same."""
        return self._run("diff", self._options(settings))

    def destroy(self, settings: Mapping[str, Any]) -> str:
        """Delete all stacks. The same."""
        return self._run("destroy", [*self._options(settings), "--force"])

    def _options(self, settings: Mapping[str, Any]) -> list[str]:
        context = {"sluice": json.dumps(settings), **self.context}
        pairs = [word for name, value in context.items() for word in ("-c", f"{name}={value}")]
        return ["--no-notices", *self._app(), "--output", str(self.output), *pairs]

    def _app(self) -> list[str]:
        return ["--app", self.app] if self.app else []

    def _run(self, target: str, options: list[str]) -> str:
        return _make(target, options, {"AWS_ENDPOINT_URL": self.url})


def version() -> str:
    """The version of the CLI. Downloads it into npm's cache if it isn't there.

    Raises `CdkUnavailableError` when npm has no access to its registry.
    """
    try:
        return _make("bootstrap", ["--version"], {}).strip().splitlines()[-1].partition(" ")[0]
    except CdkError as error:
        raise CdkUnavailableError(f"npx can't get the CDK CLI: {error}") from error


def _make(target: str, options: list[str], environment: Mapping[str, str]) -> str:
    """Run a target of the Makefile with `CDK_ARGS`, and return what it prints."""
    arguments = shlex.join(options).replace("$", "$$")  # make expands variables
    # .venv is there: this process runs in it. Otherwise a test of a changed requirements file would install it again.
    command = ["make", "--silent", "--assume-old=.venv/.installed", target, f"CDK_ARGS={arguments}"]
    own = {**aws.environment(), **_ENVIRONMENT, **environment}
    own["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), own["PATH"]])
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
        own.pop(name, None)  # of the `make` that runs this
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments
            command,
            cwd=ROOT,
            env=own,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CdkError(f"cdk {target} has not ended after {_SECONDS:.0f} s") from error
    output = _COLOR.sub("", done.stdout)
    if done.returncode:
        raise CdkError(f"cdk {target}: exit code {done.returncode}: {_end(output)}")
    return output


def _end(output: str) -> str:
    return " ⏎ ".join([line.strip() for line in output.splitlines() if line.strip()][-6:])
