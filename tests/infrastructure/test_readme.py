"""The settings, messages and make targets in the README agree with the code."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from infrastructure.settings import Settings
from infrastructure.settings.names import fields
from sluice.inputs.message import PARAMETERS, validate

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table after a heading."""
    section = README.partition(f"\n## {heading}")[2].partition("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("| ")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_every_setting_with_its_default() -> None:
    documented = {cells[0].strip("`"): cells[1] for cells in rows("Settings")}
    # The keys of `transform` are in docs/transform.md.
    settings = {name: field for name, field in fields(Settings).items() if not name.startswith("transform.")}
    assert set(documented) == {*settings, "transform"}
    assert documented.pop("transform") == json.dumps(
        Settings.from_context({"endpoint_names": ["a"]}).transform.model_dump(exclude_none=True)
    )
    for name, field in settings.items():
        if not field.is_required() and name != "default_endpoint_name":
            default = field.default if isinstance(field.default, str) else json.dumps(field.default)
            assert documented[name] == default, name


def test_every_parameter() -> None:
    documented = {name for cells in rows("Send a message") for name in re.findall(r"`(\w+)`", cells[0])}
    assert documented == set(PARAMETERS)


def test_the_messages_are_valid() -> None:
    (python,) = re.findall(r"request = (\{.*?\n\})", README, re.DOTALL)
    validate(ast.literal_eval(python))
    (shell,) = re.findall(r"--message-body '(.*)'", README)
    validate(json.loads(shell.replace("'$INPUT_BUCKET'", "bucket")))


@pytest.mark.parametrize("target", sorted(set(re.findall(r"make (?:-s )?([a-z]+)", README)) - {"it"}))
def test_every_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_the_paths_it_names_exist() -> None:
    for path in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / path).exists(), path


def test_the_constructs_sample_synthesizes() -> None:
    section = README.partition("\n## Use it as a construct\n")[2].partition("\n## ")[0]
    (sample,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(sample, "README.md", "exec"), names)
    app = cdk.App()
    stack = names["Orders"](app)
    template = Template.from_stack(stack)
    (prefix,) = re.findall(r"--stack Orders/(\w+)", sample)
    assert f"{prefix}RequestQueueUrl" in template.to_json()["Outputs"]
    (sender,) = [one for name, one in template.find_resources("AWS::IAM::Policy").items() if "Checkout" in name]
    assert "sqs:SendMessage" in json.dumps(sender)
