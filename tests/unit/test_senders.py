"""docs/senders.md shows the files in examples/senders verbatim, and the messages that they send are valid."""

import re
from pathlib import Path

import pytest

from sluice.inputs.message import PARAMETERS, validate
from sluice.inputs.strict_json import load_json

ROOT = Path(__file__).parents[2]
SENDERS = ROOT / "examples" / "senders"
DOC = (ROOT / "docs" / "senders.md").read_text()
SHOWN = re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```\n<!-- end -->", DOC, re.DOTALL)
BODY = {"instances": [[13.28, 1.64, 2.84, 15.5, 110.0, 2.6, 2.68, 0.34, 1.36, 4.6, 1.09, 2.78, 880.0]]}
REQUEST = {"EndpointName": "wine", "Body": BODY, "InferenceId": "order-7", "TraceId": "checkout-42"}


def test_every_sender_is_shown() -> None:
    files = {str(path.relative_to(SENDERS)) for path in SENDERS.rglob("*.*") if "node_modules" not in path.parts}
    npm = {"node/package.json", "node/package-lock.json", "node/.npmrc"}
    assert sorted(name for name, _ in SHOWN) == sorted(files - npm)


@pytest.mark.parametrize("name", [name for name, _ in SHOWN])
def test_it_is_shown_verbatim(name: str) -> None:
    assert dict(SHOWN)[name] == (SENDERS / name).read_text(), f"docs/senders.md: put {name} there again"


@pytest.mark.parametrize(("name", "inference_id"), [("send.sh", r"'\"\$inference_id\"'"), ("java/Send.java", "%s")])
def test_the_json_that_is_text_is_valid(name: str, inference_id: str) -> None:
    (text,) = re.findall(r"\{\n\s*\"EndpointName.*?\n\s*\}(?='|\")", (SENDERS / name).read_text(), re.DOTALL)
    request = load_json(re.sub(inference_id, "order-7", text), "message body")
    assert request == REQUEST
    validate(request)


def test_gos_struct_has_the_parameters_names() -> None:
    (fields,) = re.findall(r"type request struct \{\n(.*?)\}", (SENDERS / "go/send.go").read_text(), re.DOTALL)
    assert {line.split()[0] for line in fields.splitlines()} == set(REQUEST) <= set(PARAMETERS)


def test_the_lock_file_names_no_registry() -> None:
    assert "resolved" not in (SENDERS / "node/package-lock.json").read_text()
