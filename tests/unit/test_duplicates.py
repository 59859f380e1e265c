"""A request that is delivered twice, concurrently or again has one result, which belongs to it."""

from collections.abc import Callable
from typing import Any

import pytest

from sluice.concurrency import sleep
from sluice.failures import Operation
from sluice.ports import Inference
from sluice.processing.outcome import Status
from tests.support.events import event_bridge_event
from tests.support.fakes import Call, World, delivery, service_error
from tests.support.groups import gather
from tests.support.virtual_time import run


@pytest.fixture
def world() -> World:
    world = World()
    answers = iter(range(1, 100))
    world.endpoint.answer = lambda call: Inference(f"answer {next(answers)}".encode())
    return world


def first_call(then: Callable[[], Any]) -> Callable[[Call], Inference]:
    """A response function that runs `then` before the first response, like another worker during the call."""
    waiting = [then]

    def answer(call: Call) -> Inference:
        if waiting:
            waiting.pop()()
        return Inference(b"answer for " + call.body)

    return answer


def body_of(world: World, name: str) -> bytes:
    return world.results.objects[name + ".out"].body


def test_a_message_received_again_after_it_was_answered(world: World) -> None:
    assert world.deliver({"Body": "x"}).status is Status.SUCCEEDED
    again = world.deliver({"Body": "x"}, receive_count=2)
    assert again.status is Status.DUPLICATE
    assert again.acknowledged
    assert len(world.endpoint.calls) == 1


def test_a_message_sent_twice_with_one_inference_id(world: World) -> None:
    world.deliver({"Body": "x", "InferenceId": "i"}, message_id="first")
    assert world.deliver({"Body": "x", "InferenceId": "i"}, message_id="second").status is Status.DUPLICATE
    assert len(world.endpoint.calls) == 1


def test_two_messages_without_an_inference_id_are_two_requests(world: World) -> None:
    world.deliver({"Body": "x"}, message_id="first")
    assert world.deliver({"Body": "x"}, message_id="second").status is Status.SUCCEEDED
    assert len(world.endpoint.calls) == 2


def test_a_message_delivered_again_after_it_was_acknowledged_and_counted_as_new(world: World) -> None:
    world.deliver({"Body": "x"})
    assert world.deliver({"Body": "x"}, receive_count=1).status is Status.DUPLICATE
    assert len(world.endpoint.calls) == 1


def test_the_same_s3_event_twice_in_either_form(world: World) -> None:
    event = world.inputs.drop("invoke/a.csv")
    details = event["Records"][0]["s3"]["object"]
    world.deliver(event, message_id="first")
    assert world.deliver(event, message_id="second").status is Status.DUPLICATE
    other_form = event_bridge_event(
        "invoke/a.csv", etag=details["eTag"], version_id=details["versionId"], sequencer=details["sequencer"]
    )
    assert world.deliver(other_form, message_id="third").status is Status.DUPLICATE
    assert len(world.endpoint.calls) == 1


def test_a_new_upload_replaces_the_result_even_with_the_same_content(world: World) -> None:
    world.deliver(world.inputs.drop("invoke/a.csv", b"same"))
    assert world.deliver(world.inputs.drop("invoke/a.csv", b"same")).status is Status.SUCCEEDED
    assert body_of(world, "invoke/a.csv") == b"answer 2"


def test_a_late_event_of_an_older_version_changes_nothing(world: World) -> None:
    older, newer = world.inputs.drop("invoke/a.csv", b"old"), world.inputs.drop("invoke/a.csv", b"new")
    assert world.deliver(newer).status is Status.SUCCEEDED
    assert world.deliver(older).status is Status.SUPERSEDED
    assert [call.body for call in world.endpoint.calls] == [b"new"]


def test_an_event_whose_object_was_replaced_meanwhile_is_not_invoked(world: World) -> None:
    older, newer = world.inputs.drop("invoke/a.csv", b"old"), world.inputs.drop("invoke/a.csv", b"new")
    assert world.deliver(older).status is Status.SUPERSEDED
    assert not world.endpoint.calls
    assert world.deliver(newer).status is Status.SUCCEEDED


def test_replaced_while_the_model_answered_and_overtaken(world: World) -> None:
    older = world.inputs.drop("invoke/a.csv", b"old")

    def overtake() -> None:
        newer = world.inputs.drop("invoke/a.csv", b"new")
        assert world.another_worker().deliver(newer, message_id="newer").status is Status.SUCCEEDED

    world.endpoint.answer = first_call(overtake)
    assert world.deliver(older).status is Status.SUPERSEDED
    assert body_of(world, "invoke/a.csv") == b"answer for new"


def test_replaced_while_the_model_answered_without_sequencers(world: World) -> None:
    """Without sequencers, the object itself determines which of the two is newer."""
    older = world.inputs.drop("invoke/a.csv", b"old")

    def overtake() -> None:
        newer = world.inputs.drop("invoke/a.csv", b"new")
        del newer["Records"][0]["s3"]["object"]["sequencer"]
        world.another_worker().deliver(newer, message_id="newer")

    world.endpoint.answer = first_call(overtake)
    assert world.deliver(older).status is Status.SUPERSEDED
    assert body_of(world, "invoke/a.csv") == b"answer for new"


def test_an_older_result_written_while_the_model_answers_the_newer_is_replaced(world: World) -> None:
    older = world.inputs.drop("invoke/a.csv", b"old")
    late: list[Any] = []

    def slow_older(call: Call) -> Inference:
        if call.body == b"old":
            late.append(world.inputs.drop("invoke/a.csv", b"new"))
            world.endpoint.answer = first_call(lambda: None)
        return Inference(b"answer for " + call.body)

    world.endpoint.answer = slow_older
    assert world.deliver(older).status is Status.SUCCEEDED, "no result was stored yet"
    assert world.deliver(late[0]).status is Status.SUCCEEDED
    assert body_of(world, "invoke/a.csv") == b"answer for new"


def test_two_workers_on_one_message(world: World) -> None:
    def other() -> None:
        assert world.another_worker().deliver({"Body": "x"}, receive_count=2).status is Status.SUCCEEDED

    world.endpoint.answer = first_call(other)
    assert world.deliver({"Body": "x"}).status is Status.DUPLICATE
    assert len(world.results.objects) == 1


def test_a_file_name_in_use_is_rejected_before_the_call(world: World) -> None:
    world.deliver({"Body": "x", "Filename": "answer.json"}, message_id="first")
    outcome = world.deliver({"Body": "y", "Filename": "answer.json"}, message_id="second")
    assert outcome.status is Status.DEAD_LETTERED
    assert outcome.failure is not None
    assert outcome.failure.message.startswith("Filename: another request's result has this name")
    assert len(world.endpoint.calls) == 1
    assert body_of(world, "files/answer.json") == b"answer 1"
    assert set(world.results.objects) == {"files/answer.json.out", "messages/second@answer.json.err"}


def test_a_redrive_that_succeeds_removes_the_err(world: World) -> None:
    fails = service_error(Operation.INVOKE, "ModelError", original_status_code=500)
    answer, world.endpoint.answer = world.endpoint.answer, lambda call: fails
    world.deliver({"Body": "x", "TraceId": "t"}, message_id="first")
    body, reason = world.dead_letter()
    assert set(world.results.objects) == {"messages/first.err"}

    world.endpoint.answer = answer
    redriven = world.deliver(body, message_id="second", attributes=reason)
    assert redriven.status is Status.SUCCEEDED
    assert set(world.results.objects) == {"messages/first.out"}
    assert world.results.objects["messages/first.out"].metadata["trace-id"] == "t"


def test_a_success_deletes_no_err_if_there_is_none(world: World) -> None:
    """In a versioned bucket, a delete would leave a delete marker for each request."""
    deleted = []
    world.results.fail = lambda operation, key: deleted.append(key) if operation == "delete" else None
    world.deliver(world.inputs.drop("invoke/a.csv"))
    world.deliver({"Body": "x", "InferenceId": "i"})
    assert deleted == []


def test_a_new_upload_that_succeeds_removes_the_err_of_the_old(world: World) -> None:
    fails = service_error(Operation.INVOKE, "ModelError", original_status_code=400)
    answer, world.endpoint.answer = world.endpoint.answer, lambda call: fails
    world.deliver(world.inputs.drop("invoke/a.csv", b"bad"))
    assert set(world.results.objects) == {"invoke/a.csv.err"}
    world.endpoint.answer = answer
    world.deliver(world.inputs.drop("invoke/a.csv", b"good"))
    assert set(world.results.objects) == {"invoke/a.csv.out"}


def test_a_late_event_of_an_older_version_keeps_the_err_of_the_newer(world: World) -> None:
    first = world.inputs.drop("invoke/a.csv", b"good")
    world.deliver(first)
    world.endpoint.answer = lambda call: service_error(Operation.INVOKE, "ModelError", original_status_code=400)
    world.deliver(world.inputs.drop("invoke/a.csv", b"bad"))
    world.deliver(first, message_id="22222222-2222-4222-8222-222222222222")
    assert set(world.results.objects) == {"invoke/a.csv.out", "invoke/a.csv.err"}


def test_a_success_keeps_the_err_of_a_newer_version(world: World) -> None:
    older = world.inputs.drop("invoke/a.csv", b"good")

    def answer(call: Call) -> Inference | Exception:
        if call.body == b"bad":
            return service_error(Operation.INVOKE, "ModelError", original_status_code=400)
        world.another_worker().deliver(world.inputs.drop("invoke/a.csv", b"bad"))
        return Inference(b"answer")

    world.endpoint.answer = answer
    world.deliver(older)
    assert "invoke/a.csv.err" in world.results.objects


@pytest.mark.parametrize("inference_id", ["50% off", "two  spaces", "%41", "a%20b"])
def test_a_request_whose_identity_is_encoded_in_metadata_is_recognized(world: World, inference_id: str) -> None:
    request = {"Body": "x", "InferenceId": inference_id}
    assert world.deliver(request).status is Status.SUCCEEDED
    for number in range(2, 4):
        assert world.deliver(request, receive_count=number).status is Status.DUPLICATE
    assert len(world.endpoint.calls) == 1
    assert not world.queue.sent


@pytest.mark.parametrize("inference_id", ["50% off", "i"])
def test_a_redrive_removes_the_err_of_its_own_request(world: World, inference_id: str) -> None:
    answer, world.endpoint.answer = (
        world.endpoint.answer,
        lambda call: service_error(Operation.INVOKE, "ModelError", original_status_code=500),
    )
    world.deliver({"Body": "x", "InferenceId": inference_id})
    assert len(world.results.objects) == 1
    world.endpoint.answer = answer
    body, reason = world.dead_letter()
    world.deliver(body, attributes=reason)
    (key,) = world.results.objects
    assert key.endswith(".out")


def test_a_redrive_of_a_request_with_a_result_removes_the_err(world: World) -> None:
    world.deliver({"Body": "x", "InferenceId": "i"})
    run(world.results.put("messages/i.err", b"{}", content_type=None))
    assert world.deliver({"Body": "x", "InferenceId": "i"}).status is Status.DUPLICATE
    assert set(world.results.objects) == {"messages/i.out"}


def test_a_failure_after_a_success_of_the_same_request_is_ignored(world: World) -> None:
    fails = service_error(Operation.INVOKE, "ModelError", original_status_code=500)

    def answer(call: Call) -> Inference | Exception:
        if len(world.endpoint.calls) == 1:
            world.another_worker().deliver({"Body": "x", "InferenceId": "i"}, receive_count=2)
            return fails
        return Inference(b"ok")

    world.endpoint.answer = answer
    assert world.deliver({"Body": "x", "InferenceId": "i"}).status is Status.DUPLICATE
    assert set(world.results.objects) == {"messages/i.out"}
    assert not world.queue.sent


@pytest.mark.parametrize("status", [400, 500])
def test_a_failure_of_a_replaced_object_is_ignored(world: World, status: int) -> None:
    """Its .err would be next to, or overwrite, the outcome of the newer version."""
    older = world.inputs.drop("invoke/a.csv", b"old")

    def answer(call: Call) -> Inference | Exception:
        if call.body == b"old":
            newer = world.inputs.drop("invoke/a.csv", b"new")
            assert world.another_worker().deliver(newer, message_id="newer").status is Status.SUCCEEDED
            return service_error(Operation.INVOKE, "ModelError", original_status_code=status)
        return Inference(b"ok")

    world.endpoint.answer = answer
    assert world.deliver(older).status is Status.SUPERSEDED
    assert set(world.results.objects) == {"invoke/a.csv.out"}
    assert not world.queue.sent


def test_a_result_deleted_between_the_check_and_the_write_is_written_again(world: World) -> None:
    world.deliver(world.inputs.drop("invoke/a.csv", b"old"))
    newer = world.inputs.drop("invoke/a.csv", b"new")
    world.endpoint.answer = first_call(lambda: run(world.results.delete("invoke/a.csv.out")))
    assert world.deliver(newer).status is Status.SUCCEEDED
    assert body_of(world, "invoke/a.csv") == b"answer for new"


def test_a_write_that_always_conflicts_is_retried_later(world: World) -> None:
    world.deliver(world.inputs.drop("invoke/a.csv", b"old"))
    newer = world.inputs.drop("invoke/a.csv", b"new")

    def touch(operation: str, key: str) -> None:
        if operation == "put":
            stored = world.results.objects[key]
            world.results.objects[key] = type(stored)(stored.body, None, {}, stored.etag + "x")

    world.results.fail = touch
    outcome = world.deliver(newer)
    assert outcome.status is Status.RETRY
    assert outcome.failure is not None
    assert outcome.failure.code == "ConditionalRequestConflict"


def test_duplicates_in_one_batch_are_called_for_once() -> None:
    world = World()

    async def answer(call: Call) -> Inference:
        await sleep(0.2)  # so that the others have come
        return Inference(b"ok")

    world.endpoint.answer = answer
    batch = [delivery({"Body": "x", "InferenceId": "i"}, message_id=f"m{n}") for n in range(4)]
    ended = run(gather(*(world.core.process(world.core.parse(one)) for one in batch)))
    assert sorted(outcome.status for (outcome,) in ended) == [Status.DUPLICATE] * 3 + [Status.SUCCEEDED]
    assert len(world.endpoint.calls) == 1


def test_when_the_first_of_two_duplicates_fails_the_second_is_retried() -> None:
    world = World()

    async def answer(call: Call) -> Exception:
        await sleep(0.2)  # so that the second has come
        return service_error(Operation.INVOKE, "ThrottlingException")

    world.endpoint.answer = answer
    batch = [delivery({"Body": "x", "InferenceId": "i"}, message_id=name) for name in ("first", "second")]
    ended = run(gather(*(world.core.process(world.core.parse(one)) for one in batch)))
    assert [outcome.status for (outcome,) in ended] == [Status.RETRY, Status.RETRY]
    assert [outcome.failure.code for (outcome,) in ended if outcome.failure] == ["ThrottlingException", "UnderWay"]
    assert len(world.endpoint.calls) == 1


def test_the_write_of_a_billed_result_is_retried(world: World) -> None:
    refusals = iter([True] * 6)

    def slow_down(operation: str, key: str) -> None:
        if operation == "put" and next(refusals, False):
            raise service_error(Operation.STORE_RESULT, "SlowDown", status=503)

    world.results.fail = slow_down
    assert world.deliver({"Body": "x"}).status is Status.SUCCEEDED
    assert len(world.endpoint.calls) == 1
    assert world.slept == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2]


def test_a_forbidden_write_is_not_retried(world: World) -> None:
    def forbidden(operation: str, key: str) -> None:
        if operation == "put":
            raise service_error(Operation.STORE_RESULT, "AccessDenied", status=403)

    world.results.fail = forbidden
    assert world.deliver({"Body": "x"}).status is Status.RETRY
    assert world.slept == []
