"""Compares the properties that a template declares with those of the resource."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cli.doctor.template import UNRESOLVED, Unresolved

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "AWS::Lambda::EventSourceMapping": {"Enabled": True},
    "AWS::Lambda::Function": {"ReservedConcurrentExecutions": None},
    "AWS::CloudWatch::Alarm": {"ActionsEnabled": True},
    "AWS::CloudWatch::CompositeAlarm": {"ActionsEnabled": True},
    "AWS::Events::Rule": {"State": "ENABLED"},
}
"""What a resource has when its template does not say otherwise (CloudFormation template reference)."""

_EXACT = "Variables"  # an environment variable that was added changes the function, too
_LONGEST = 120  # characters of a value that a finding quotes


@dataclass(frozen=True, slots=True)
class Difference:
    """A property that differs. `declared` and `actual` are None where there is none."""

    path: str
    declared: Any
    actual: Any

    @property
    def property(self) -> str:
        """The name of the resource's property that has the difference."""
        return self.path.partition(".")[0]

    def __str__(self) -> str:
        if self.path.startswith("PolicyDocument."):
            return f"the statement {self.path.partition('.')[2]} is missing or was changed"
        if self.actual is None:
            return f"{self.path} is gone; the template has {_shown(self.declared)}"
        if self.declared is None:
            return f"{self.path} is {_shown(self.actual)}; the template has none"
        return f"{self.path} is {_shown(self.actual)}; the template has {_shown(self.declared)}"


def differences(kind: str, declared: Mapping[str, Any], actual: Mapping[str, Any]) -> Iterator[Difference]:
    """The properties of a resource of the type `kind` that are not as declared.

    Only what is declared, or has a default that matters, is compared. Elements that were added to a list, such as a
    notification of another bucket event, are no difference.
    """
    for name, value in actual.items():
        if name == "PolicyDocument":
            yield from _missing_statements(declared.get(name, {}), value)
        elif name in declared or name in DEFAULTS.get(kind, {}):
            yield from _compare(name, declared.get(name, DEFAULTS.get(kind, {}).get(name)), value)


def is_resolved(value: Any) -> bool:
    """Whether a value of the template is fully known."""
    if isinstance(value, Mapping):
        return all(is_resolved(one) for one in value.values())
    return all(is_resolved(one) for one in value) if isinstance(value, list) else not isinstance(value, Unresolved)


def _compare(path: str, declared: Any, actual: Any) -> Iterator[Difference]:
    if declared is UNRESOLVED:
        return
    if isinstance(declared, Mapping) and isinstance(actual, Mapping):
        names = [*declared, *(actual.keys() - declared.keys() if path.endswith(_EXACT) else ())]
        for name in names:
            yield from _compare(f"{path}.{name}", declared.get(name), actual.get(name))
    elif isinstance(declared, list) and isinstance(actual, list):
        present = {_canonical(one) for one in actual}
        gone = [one for one in declared if is_resolved(one) and _canonical(one) not in present]
        if gone:
            yield Difference(path, gone, actual or None)
    elif is_resolved(declared) and _canonical(declared) != _canonical(actual):
        yield Difference(path, declared, actual)


def _missing_statements(declared: Mapping[str, Any], actual: Mapping[str, Any]) -> Iterator[Difference]:
    """The statements of a policy that are gone: none allows or denies the same actions on the same resources.

    AWS may store a policy in another form than it was given, so conditions and principals are not compared.
    """
    present = [_rule(one) for one in actual.get("Statement", [])]
    for number, statement in enumerate(declared.get("Statement", []), 1):
        effect, actions, resources = _rule(statement)
        if not any(
            effect == found[0] and actions <= found[1] and (not resources or resources <= found[2]) for found in present
        ):
            name = statement.get("Sid") or f"{number} ({effect} {', '.join(sorted(actions))})"
            yield Difference(f"PolicyDocument.{name}", statement, None)


def _rule(statement: Mapping[str, Any]) -> tuple[str, set[str], set[str]]:
    actions, resources = _as_list(statement.get("Action", [])), _as_list(statement.get("Resource", []))
    # Without what CloudFormation alone resolves, the resources of a statement are not compared.
    named = {str(one) for one in resources} if is_resolved(resources) else set()
    return statement.get("Effect", ""), {str(action).lower() for action in actions}, named


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _canonical(value: Any) -> str:
    """The same text for the same value: AWS returns some numbers as strings, and the order of keys differs."""
    if isinstance(value, Mapping):
        return json.dumps({str(name): _canonical(one) for name, one in value.items()}, sort_keys=True)
    if isinstance(value, list):
        return json.dumps(sorted(_canonical(one) for one in value))
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
