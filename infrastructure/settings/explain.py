"""Pydantic's errors as one line each: the full key, what is wrong, and what to do."""

import difflib
import json

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from infrastructure.errors import SettingProblem
from infrastructure.settings.names import MOVED, fields


def explain(detail: ErrorDetails, model: type[BaseModel]) -> str:
    """Return one error of validating `model` as `sluice.key: what is wrong and what to do`."""
    key = ".".join(str(part) for part in detail["loc"])
    error = detail.get("ctx", {}).get("error")
    if isinstance(error, SettingProblem):
        return f"{_dotted('sluice', key, error.key)}: {error.problem}"
    match detail["type"]:
        case "extra_forbidden":
            problem = _unknown(key, model)
            key = key.removesuffix(".")
        case "missing":
            problem = f'is missing; set it in cdk.json, such as "{key}": ["my-endpoint"]'
        case "model_type" if key == "alarms" and isinstance(detail["input"], bool):
            problem = f'is now sluice.alarms.enabled; write "alarms": {{"enabled": {json.dumps(detail["input"])}}}'
        case "model_type":
            first = next(name for name in fields(model) if name.startswith(f"{key}.")).rpartition(".")[2]
            problem = f'must be an object, such as {{"{first}": …}}, not {_shown(detail)}'
        case _:
            problem = f"{detail['msg']}, not {_shown(detail)}"
    return f"{_dotted('sluice', key)}: {problem}"


def _unknown(key: str, model: type[BaseModel]) -> str:
    if key in MOVED:
        return f"is now sluice.{MOVED[key]}"
    group, _, name = key.rpartition(".")
    if not name:
        return "holds a setting whose name is empty; remove it"
    known = fields(model)
    if key in known:  # one key with a dot in it
        return f'write it as a nested object: "{group}": {{"{name}": …}}'
    everywhere = {one.rpartition(".")[2]: one for one in known}
    same_object = {one.removeprefix(f"{group}."): one for one in everywhere.values() if one.startswith(f"{group}.")}
    if not same_object:
        same_object = {one: one for one in model.model_fields}
    for candidates in (same_object, everywhere):
        if close := difflib.get_close_matches(name, candidates, n=1):
            return f"is not a setting; did you mean sluice.{candidates[close[0]]}?"
    return f"is not a setting; known are {', '.join(same_object)}"


def _dotted(*parts: str) -> str:
    return ".".join(part for part in parts if part)


def _shown(detail: ErrorDetails) -> str:
    return json.dumps(detail["input"], default=str)
