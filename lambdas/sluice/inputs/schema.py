"""The JSON Schema of the message, generated from the model. `make schema` writes it to docs/message.schema.json."""

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from sluice.inputs.message import Message


class _Plain(GenerateJsonSchema):
    """Without `default: null`, as a key that is left out has no value, and without titles that repeat the key."""

    def default_schema(self, schema: Any) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - the base class's signature
        return False


def render() -> str:
    """The schema as indented JSON text."""
    schema = Message.model_json_schema(by_alias=True, schema_generator=_Plain)
    return json.dumps({"$schema": _Plain.schema_dialect, **schema}, indent=2) + "\n"


if __name__ == "__main__":
    print(render(), end="")  # noqa: T201 - its output is its purpose
