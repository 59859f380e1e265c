"""Each container of the zoo is transformed as if its records were sent one by one."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sluice.failures import Operation
from sluice.ports import Inference
from sluice.processing.outcome import Status
from sluice.transform.answer_format import AnswerFormat
from tests.support.containers import Container
from tests.support.fakes import Call, service_error
from tests.support.transform import Transforms
from tests.support.zoo import ODD, ZOO

KEY = "transform/wine/records"
DOCUMENT = Path(__file__).parents[2] / "docs" / "transform.md"
COUNTS = (1, 2, 3, 40)
EVERY = ZOO + ODD
WITH_HEADER = [one for one in EVERY if one.answer_format == "LinesWithHeader"]


def named(containers: list[Container]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("container", [pytest.param(one, id=one.name) for one in containers])


def transformed(container: Container, records: list[str], **options: str) -> Transforms:
    world = Transforms()
    world.endpoint.answer = container.answer
    metadata = {name.replace("_", "-"): value for name, value in options.items()}
    content = "".join(f"{one}\n" for one in records).encode()
    world.drop(KEY, content, content_type=container.content_type, metadata=metadata)
    world.run()
    return world


def alone(container: Container, record: str, answer_format: str) -> bytes:
    """What the container answers to a record alone, divided by a format."""
    answer = container.answer(Call("wine", f"{record}\n".encode(), {"ContentType": container.content_type}))
    assert isinstance(answer, Inference)
    (line,) = AnswerFormat.parse(answer_format).divide(answer.body, answer.content_type, 1)
    return line


def equal(one: bytes, other: bytes) -> bool:
    """Whether two lines are equal; numbers as far as a batch may round them."""
    try:
        return json.loads(one) == pytest.approx(json.loads(other)) or one == other
    except (ValueError, TypeError):
        return one == other


@named(EVERY)
@pytest.mark.parametrize("count", COUNTS)
def test_each_line_is_the_answer_to_its_record_alone(container: Container, count: int) -> None:
    records = container.records(count)
    world = transformed(container, records)
    assert world.summary(KEY)["answer_format"] == container.answer_format
    assert world.summary(KEY)["succeeded"] == count
    lines = world.out(KEY).split(b"\n")[:-1]
    assert len(lines) == count
    for line, record in zip(lines, records, strict=True):
        assert equal(line, alone(container, record, container.answer_format))


# The answer to one record has two lines with a header: that needs its format, as the test after this one shows.
@named([one for one in EVERY if one not in WITH_HEADER])
@pytest.mark.parametrize("count", COUNTS)
def test_with_one_record_a_call_the_line_is_the_whole_answer(container: Container, count: int) -> None:
    records = container.records(count)
    world = transformed(container, records, batch_strategy="SingleRecord")
    assert world.summary(KEY)["answer_format"] == "None"
    assert world.out(KEY) == b"".join(alone(container, one, "None") + b"\n" for one in records)
    assert len(world.endpoint.calls) == count, "nothing is probed"


@named(EVERY)
@pytest.mark.parametrize("strategy", ["SingleRecord", "MultiRecord"])
def test_a_format_that_is_set_is_not_probed_and_holds_for_both_strategies(container: Container, strategy: str) -> None:
    records = container.records(5)
    world = transformed(container, records, batch_strategy=strategy, answer_format=container.answer_format)
    found = transformed(container, records)
    assert world.summary(KEY)["answer_format"] == container.answer_format
    lines, probed = world.out(KEY).split(b"\n"), found.out(KEY).split(b"\n")
    assert all(map(equal, lines, probed))
    assert len(lines) == len(probed)
    together = strategy == "MultiRecord" and container.answer_format != "None"
    assert len(world.endpoint.calls) == (1 if together else 5)


@named(EVERY)
def test_bad_records_are_found_whatever_the_format(container: Container) -> None:
    records = container.records(40)
    records[3] = records[4] = records[30] = "{bad"
    bad = Container("", container.content_type, container.record, container.respond, "", "")

    def refuse_bad(body: bytes) -> Inference | Exception:
        if b"{bad" in body.split(b"\n")[0] if container.name.startswith("first") else b"{bad" in body:
            raise ValueError
        return container.respond(body)

    bad = replace(bad, respond=refuse_bad)
    world = transformed(bad, records)
    assert [error["Line"] for error in world.errors(KEY)] == [4, 5, 31]
    assert {error["ErrorCode"] for error in world.errors(KEY)} == {"ModelError"}
    lines = world.out(KEY).split(b"\n")[:-1]
    for number, (line, record) in enumerate(zip(lines, records, strict=True), 1):
        assert line == b"" if number in {4, 5, 31} else equal(line, alone(container, record, container.answer_format))


@named([one for one in EVERY if one.answer_format != "None"])
def test_a_container_that_takes_several_records_gets_them_in_few_calls(container: Container) -> None:
    world = transformed(container, container.records(300))
    assert len(world.endpoint.calls) <= 10
    sizes = [call.body.count(b"\n") for call in world.endpoint.calls]
    assert sizes[:3] == [1, 1, 4], "two records alone, then together"
    assert all(size > 4 for size in sizes[3:])


@named([one for one in EVERY if one.answer_format[:4] == "JSON"])
def test_another_format_than_the_containers_is_an_error_of_each_line(container: Container) -> None:
    world = transformed(container, container.records(3), answer_format="JSONField:nothing")
    (_, attributes), *more = world.dead_letters.sent
    assert not more
    assert attributes["ErrorCode"].value == "NoRecordSucceeded"
    assert "AnswerMismatch: " in attributes["ErrorMessage"].value
    assert "set it with the file's metadata answer-format" in attributes["ErrorMessage"].value


def test_the_table_of_the_containers_is_in_the_documentation() -> None:
    rows = ["| container | records | answer format | calls for 40 records |", "| --- | --- | --- | ---: |"]
    for one in ZOO:
        calls = len(transformed(one, one.records(40)).endpoint.calls)
        rows.append(f"| [{one.name}]({one.source}) | `{one.content_type}` | `{one.answer_format}` | {calls} |")
    table = "\n".join(rows)
    assert table in DOCUMENT.read_text(), f"update docs/transform.md:\n{table}"


def test_a_container_that_takes_the_first_row_for_a_header_fails_the_file() -> None:
    """Alone, each row is the header of nothing."""

    def lengths(body: bytes) -> Inference:
        return Inference(b"".join(b"%d\n" % len(row) for row in body.split(b"\n")[1:-1]), "text/csv")

    container = replace(ZOO[0], respond=lengths)
    world = transformed(container, container.records(51))
    assert f"{KEY}.out" not in world.results.objects
    reason = json.loads(world.results.objects[f"{KEY}.err"].body)
    assert reason["ErrorCode"] == "NoRecordSucceeded"
    assert "AnswerMismatch: " in reason["ErrorMessage"]


def test_answers_that_vary_are_asked_for_one_by_one() -> None:
    numbers = iter(range(1000))
    container = replace(
        ZOO[0],
        respond=lambda body: Inference(b"".join(b"%d\n" % next(numbers) for _ in body.split(b"\n")[:-1]), "text/csv"),
    )
    world = transformed(container, container.records(10))
    assert world.summary(KEY)["answer_format"] == "None"
    assert world.summary(KEY)["succeeded"] == 10


@pytest.mark.parametrize("code", ["ThrottlingException", "ServiceUnavailable"])
@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_short_outage_is_no_evidence(code: str, at: int) -> None:
    container, calls = ZOO[0], [0]

    def answer(call: Call) -> Inference | Exception:
        calls[0] += 1
        return service_error(Operation.INVOKE, code, status=503) if calls[0] == at else container.answer(call)

    world = Transforms()
    world.endpoint.answer = answer
    content = "".join(f"{one}\n" for one in container.records(20)).encode()
    world.drop(KEY, content, content_type="text/csv")
    world.process(world.splits.bodies.pop())
    outcomes = world.process(world.requests.bodies[0])
    if outcomes[0].status is Status.RETRY:
        world.process(world.requests.bodies[0], receive_count=2)
    world.requests.bodies.clear()
    world.run()
    assert world.summary(KEY)["answer_format"] == "CSVRow"
    assert world.summary(KEY)["succeeded"] == 20
