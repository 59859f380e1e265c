"""A file of one part of which no record succeeds has the same outcome in whichever way it fails."""

import json
from typing import Any

import pytest

from sluice.failures import Operation, ServiceError
from sluice.ports import Inference
from tests.support.fakes import Call, service_error
from tests.support.transform import Transforms

KEY = "transform/wine/rows.csv"
LOG = "arn:aws:logs:eu-west-1:123456789012:log-group:endpoint"
CSV, JSON_LINES = "text/csv", "application/jsonlines"
ROWS = b"".join(b"%d\n" % number for number in range(200))
REQUESTS = b"".join(
    b'{"custom_id":"%d","method":"POST","url":"/v1/chat/completions","body":{"n":%d}}\n' % (number, number)
    for number in range(200)
)


def broken(call: Call) -> ServiceError:
    return service_error(
        Operation.INVOKE, "ModelError", "no", original_status_code=400, original_message="bad", log_stream_arn=LOG
    )


def echo(call: Call) -> Inference:
    return Inference(call.body, call.parameters["ContentType"])


def reason(world: Transforms) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(world.results.objects[f"{KEY}.err"].body)
    return document


# content, type, options, records of the file, and how many of them are tried
KINDS: dict[str, tuple[bytes, str, dict[str, str], int, int]] = {
    "one record": (b"1\n", CSV, {}, 1, 1),
    "not split": (b"1\n2\n", CSV, {"split-type": "None"}, 1, 1),
    "all tried": (b"1\n\n2\n3\n", CSV, {}, 4, 3),
    "single records": (b"1\n2\n", CSV, {"batch-strategy": "SingleRecord"}, 2, 2),
    "stopped": (ROWS, CSV, {}, 200, 64),
    "stopped with single records": (ROWS, CSV, {"batch-strategy": "SingleRecord"}, 200, 64),
    "stopped with a header and empty lines": (b"h\n" + ROWS + b"\n\n", CSV, {"csv-header": "drop"}, 203, 64),
    "stopped with more lines than one delivery reads": (b"1\n\n" * 40_000, CSV, {}, 80_000, 64),
    "stopped with quoted lines": (b'"a\nb",1\n' * 40_000, CSV, {}, 40_000, 64),
    "stopped below its threshold": (ROWS, CSV, {"error-threshold": "150"}, 200, 64),
    "a batch": (REQUESTS[: REQUESTS.index(b"\n") + 1], JSON_LINES, {}, 1, 1),
    "a batch that is stopped": (REQUESTS, JSON_LINES, {}, 200, 64),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_outcome_names_a_line_and_a_redrive_sends_all_again(kind: str) -> None:
    content, content_type, metadata, records, tried = KINDS[kind]
    world = Transforms()
    world.endpoint.answer = broken
    world.drop(KEY, content, content_type=content_type, metadata=metadata)
    world.run(first_receive=1)
    assert f"{KEY}.out" not in world.results.objects
    found = reason(world)
    first = 2 if "csv-header" in metadata else 1
    assert found["ErrorCode"] == "NoRecordSucceeded"
    assert f"; line {first}: ModelError: no" in found["ErrorMessage"]
    assert (found["OriginalStatusCode"], found["OriginalMessage"], found["LogStreamArn"]) == (400, "bad", LOG)
    assert [attributes["ErrorCode"].value for _, attributes in world.dead_letters.sent] == ["NoRecordSucceeded"]
    summary, errors = world.summary(KEY), world.errors(KEY)
    assert (summary["records"], summary["succeeded"], summary["failed"]) == (records, 0, tried)
    not_sent = summary["not_sent"]
    assert summary["untried"] == records - tried - not_sent
    assert {error["ErrorCode"] for error in errors} == {"ModelError"}
    assert len(errors) == tried
    before = len(world.endpoint.calls)
    assert before == summary["calls"] < 150

    world.endpoint.answer = echo
    world.redrive()
    world.run(first_receive=1)
    assert f"{KEY}.err" not in world.results.objects
    assert not world.errors(KEY)
    after = world.summary(KEY)
    assert (after["records"], after["succeeded"], after["untried"]) == (records, records - not_sent, 0)
    if content_type == CSV:
        assert world.out(KEY) == content.replace(b"h\n", b"\n")
    assert after["calls"] == len(world.endpoint.calls)


def test_a_redrive_to_a_model_that_is_still_broken_fails_in_the_same_way() -> None:
    world = Transforms()
    world.endpoint.answer = broken
    world.drop(KEY, ROWS)
    for number in range(1, 4):
        world.run(first_receive=1)
        assert reason(world)["ErrorCode"] == "NoRecordSucceeded"
        assert len(world.dead_letters.sent) == 1
        assert world.summary(KEY)["untried"] == 200 - 64
        assert len(world.endpoint.calls) <= number * 70
        world.redrive()


def test_a_delivery_that_runs_out_of_time_after_many_refusals_fails_the_file() -> None:
    world = Transforms()
    world.endpoint.answer = broken
    world.remaining_ms = lambda: 90_000 if len(world.endpoint.calls) < 30 else 1
    world.drop(KEY, ROWS)
    world.run(first_receive=1)
    assert reason(world)["ErrorCode"] == "NoRecordSucceeded"
    assert len(world.errors(KEY)) == world.summary(KEY)["failed"] <= 30
