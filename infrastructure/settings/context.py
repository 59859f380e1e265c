"""The CDK context values that hold settings: from JSON to a dict, and one merged over another."""

import json
from collections.abc import Mapping
from typing import Any

from infrastructure.errors import SettingsError


def parsed(value: object) -> dict[str, Any]:
    """Return a context value as a dict: the CDK CLI passes an object as its JSON. None is an empty one.

    Raises `SettingsError` when it is not JSON or not an object.
    """
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError as error:
        raise SettingsError(f"sluice: is not JSON: {error}") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise SettingsError('sluice: must be an object, such as {"endpoint_names": ["my-endpoint"]}')
    return found


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the values of `over`: objects are merged key by key, other values are replaced."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result
