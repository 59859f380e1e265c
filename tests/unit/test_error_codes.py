"""docs/errors.md is what error_codes.py says, and no code of Sluice's own is outside of it."""

import ast
from pathlib import Path

import pytest

from sluice.error_codes import ErrorCode, FailureClass, render
from sluice.failures import Failure, classify

ROOT = Path(__file__).parents[2]
CORE = sorted((ROOT / "lambdas" / "sluice").glob("**/*.py"))


def test_the_page_is_what_make_errors_writes() -> None:
    assert (ROOT / "docs" / "errors.md").read_text() == render()


@pytest.mark.parametrize("code", ErrorCode)
def test_each_code_is_raised_somewhere_and_has_a_sentence(code: ErrorCode) -> None:
    assert any(f"ErrorCode.{code.name}" in path.read_text() for path in CORE if path.stem != "error_codes")
    assert code.description.endswith(".")
    failure = Failure.of(code)
    assert (failure.code, failure.failure_class, failure.message) == (code, code.failure_class, code.reason)
    assert classify(failure) is failure


def test_a_reason_is_the_sentence_without_a_capital_and_a_period() -> None:
    assert ErrorCode.UNDER_WAY.reason.startswith("another delivery of the same request was")
    assert ErrorCode.UNDER_WAY.reason.endswith("it ended without a result")
    assert ErrorCode.EXPIRED.reason.startswith("RequestTTLSeconds had passed"), "a name is not changed"
    assert "raise timeouts.function_seconds" in ErrorCode.NOT_BEGUN.reason
    assert not [code for code in ErrorCode if code.reason.endswith(".") or code.reason.partition(" ")[0].istitle()]


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_no_failure_is_made_with_a_code_that_the_enum_does_not_have(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"Failure", "Row"}:
            texts = [*node.args[1:2], *(one.value for one in node.keywords if one.arg == "code")]
            assert not [one for one in texts if isinstance(one, ast.Constant) and isinstance(one.value, str)]


def test_three_classes_are_retried() -> None:
    assert {one.value for one in FailureClass if one.retryable} == {"capacity", "configuration", "transient"}
