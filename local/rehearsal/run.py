"""Runs a case: deploy, a request, diff, deploy with a changed setting, diff, destroy; checks the account after each."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from local.process import LocalRunError
from local.rehearsal import assembly
from local.rehearsal.account import Account, Resource
from local.rehearsal.cases import Case, Prepared
from local.rehearsal.cdk import Cdk
from local.rehearsal.request import answered

TOOLKIT = "CDKToolkit"
_UNCHANGED = "Number of stacks with differences: 0"
_CHANGES = re.compile(r"^\[([-+~])\] (?:AWS|Custom)::", re.MULTILINE)
_WORDS = {"~": "changed", "+": "added", "-": "removed"}
_KEPT_TYPES = {"AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::Logs::LogGroup"}  # as the README says


class NotAsExpectedError(LocalRunError):
    """A command ended without an error, but the account is not as it should be."""


@dataclass
class Outcome:
    """What the commands of a case did, in words; `failed` says which one failed, and why."""

    case: Case
    deployed: str = ""
    changed: str = ""
    destroyed: str = ""
    failed: str = ""


def bootstrap(account: Account, cdk: Cdk) -> str:
    """Bootstrap the account twice: the second time must change nothing. Returns what was deployed, in words.

    Raises `LocalRunError`.
    """
    cdk.bootstrap()
    if (status := account.stacks().get(TOOLKIT)) != "CREATE_COMPLETE":
        raise NotAsExpectedError(f"the stack {TOOLKIT} is {status}")
    resources = account.resources(TOOLKIT)
    if "no changes" not in (again := cdk.bootstrap()):
        raise NotAsExpectedError(f"the second bootstrap changed something: {again[-300:]}")
    return _counted(resources)


def rehearse(case: Case, account: Account, directory: Path) -> Outcome:
    """Run all steps of a case. A failure ends it, and is in the outcome."""
    outcome = Outcome(case)
    before = set(account.stacks())
    try:
        rehearsal = Rehearsal(case, account, directory)
        for step in (rehearsal.deploy, rehearsal.change, rehearsal.destroy):
            outcome.failed = f"{step.__name__}: "
            step(outcome)
        outcome.failed = ""
    except (LocalRunError, ClientError, LookupError, ValueError) as error:
        outcome.failed += f"{type(error).__name__}: {error}"
        for stack in account.stacks().keys() - before:  # so that the next case begins as this one did
            account.delete(stack)
    return outcome


class Rehearsal:
    """The steps of one case, in this order."""

    def __init__(self, case: Case, account: Account, directory: Path) -> None:
        self._case = case
        self._account = account
        self._before = set(account.stacks())
        self._prepared: Prepared = case.prepare(account)
        self._changed = {**self._prepared.settings, **case.changed}
        context = {"sluice:built-for": case.target, **self._prepared.context}
        self._cdk = Cdk(account.url, directory, app=case.app, context=context)
        self._assembly = self._cdk.output

    def deploy(self, outcome: Outcome) -> None:
        """Deploy. Each resource of the templates must be in CloudFormation and in its service, and answer a request."""
        self._cdk.deploy(self._prepared.settings)
        self._expect_status("CREATE_COMPLETE")
        if set(self._stacks()) != (expected := set(assembly.templates(self._assembly))):
            raise NotAsExpectedError(f"the app has the stacks {sorted(expected)}, but {self._stacks()} were deployed")
        resources = self._resources()
        if different := {one.logical_id for one in resources} ^ assembly.logical_ids(self._assembly):
            raise NotAsExpectedError(f"not as in the template: {sorted(different)}")
        if absent := [one.logical_id for one in resources if self._account.exists(one) is False]:
            raise NotAsExpectedError(f"CloudFormation has made {absent}, but there is no such resource")
        found = [_counted(resources), self._prepared.check(self._account, resources)]
        if self._case.target == "host":
            found.append(answered(self._account, self._outputs()))
        outcome.deployed = "; ".join(found)

    def change(self, outcome: Outcome) -> None:
        """Change a setting: `diff` shows it, `deploy` deploys it, and then `diff` shows nothing."""
        signs = Counter(_CHANGES.findall(self._cdk.diff(self._changed)))
        if not signs:
            raise NotAsExpectedError("`cdk diff` shows no resource for the changed setting")
        self._cdk.deploy(self._changed)
        self._expect_status("UPDATE_COMPLETE", "CREATE_COMPLETE")  # a second stack may be as it was
        if _UNCHANGED not in (left := self._cdk.diff(self._changed)):
            raise NotAsExpectedError(f"after the deployment `cdk diff` still shows: {left[-300:]}")
        words = ", ".join(f"{signs[sign]} {word}" for sign, word in _WORDS.items() if signs[sign])
        outcome.changed = f"{_named(self._case.changed)}: {words}"

    def destroy(self, outcome: Outcome) -> None:
        """Delete the stacks. What the template retains must be left, and nothing else."""
        resources = self._resources()
        retained = assembly.retained(self._assembly)
        # S3 deletes only empty buckets.
        for one in resources:
            if one.type == "AWS::S3::Bucket" and one.logical_id not in retained:
                self._account.empty(one.physical_id)
        self._cdk.destroy(self._changed)
        if left := self._stacks():
            raise NotAsExpectedError(f"these stacks are left: {left}")
        there = {one: found for one in resources if (found := self._account.exists(one)) is not None}
        if wrong := [one.logical_id for one, found in there.items() if found != (one.logical_id in retained)]:
            raise NotAsExpectedError(f"kept or deleted against the template: {wrong}")
        kept = Counter(one.type for one, found in there.items() if found)
        if kept.keys() - _KEPT_TYPES:
            raise NotAsExpectedError(f"kept, but not said in the README: {kept.keys() - _KEPT_TYPES}")
        words = ", ".join(f"{count} {type_.rpartition('::')[2]}" for type_, count in sorted(kept.items()))
        outcome.destroyed = f"kept: {words}" if kept else "nothing is kept"

    def _stacks(self) -> list[str]:
        return sorted(self._account.stacks().keys() - self._before)

    def _resources(self) -> list[Resource]:
        return [one for stack in self._stacks() for one in self._account.resources(stack)]

    def _outputs(self) -> dict[str, str]:
        return {name: value for stack in self._stacks() for name, value in self._account.outputs(stack).items()}

    def _expect_status(self, *allowed: str) -> None:
        statuses = self._account.stacks()
        if wrong := {stack: statuses[stack] for stack in self._stacks() if statuses[stack] not in allowed}:
            raise NotAsExpectedError(f"the status of the stacks is {wrong}")


def _counted(resources: Sequence[Resource]) -> str:
    return f"{len(resources)} resources of {len({one.type for one in resources})} types"


def _named(changed: Mapping[str, Any]) -> str:
    """The setting that differs: the last key of the only group."""
    ((group, value),) = changed.items()
    last = f".{list(value)[-1]}" if isinstance(value, dict) and value else ""
    return f"`{json.dumps(group + last)[1:-1]}`"
