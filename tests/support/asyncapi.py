"""docs/asyncapi.yaml, with references resolved."""

import functools
import json
from pathlib import Path
from typing import Any

import jsonschema
import yaml

DOCS = Path(__file__).parents[2] / "docs"


@functools.cache
def _file(name: str) -> Any:
    text = (DOCS / name).read_text()
    return json.loads(text) if name.endswith(".json") else yaml.safe_load(text)


def _resolved(value: Any, name: str) -> Any:
    """`value`, from the file `name`, with references resolved. Raises `KeyError` for a dangling reference."""
    if isinstance(value, list):
        return [_resolved(one, name) for one in value]
    if not isinstance(value, dict):
        return value
    if "$ref" not in value:
        return {key: _resolved(one, name) for key, one in value.items()}
    file, _, pointer = value["$ref"].partition("#")
    name = file.removeprefix("./") or name
    found = _file(name)
    for key in filter(None, pointer.split("/")):
        found = found[key]
    return _resolved(found, name)


RAW: dict[str, Any] = _file("asyncapi.yaml")
DOCUMENT: dict[str, Any] = _resolved(RAW, "asyncapi.yaml")
CHANNELS: dict[str, Any] = DOCUMENT["channels"]
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]


def check(schema: dict[str, Any], value: object) -> None:
    """Raises `jsonschema.ValidationError` if `value` violates `schema`."""
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(value)
