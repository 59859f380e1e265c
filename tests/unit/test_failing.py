"""The outcome of a failing delivery: where the message goes, and that nothing is lost."""

from datetime import timedelta
from typing import Any

import pytest

from sluice.concurrency import now, sleep
from sluice.error_codes import ErrorCode, FailureClass
from sluice.failures import Failure, ModelRetry, Operation, ServiceError
from sluice.ports import Inference
from sluice.processing.outcome import Outcome, Status
from tests.support.fakes import SETTINGS, World, delivery, service_error
from tests.support.virtual_time import run

ID = "11111111-1111-4111-8111-111111111111"
MODEL_400 = ServiceError(
    Operation.INVOKE,
    "ModelError",
    "Received client error (400)",
    status=424,
    original_status_code=400,
    original_message="13 features expected",
    log_stream_arn="arn:aws:logs:x",
)
ERRORS = {
    FailureClass.MODEL: MODEL_400,
    FailureClass.INVALID: service_error(Operation.INVOKE, "ValidationError"),
    FailureClass.CAPACITY: service_error(Operation.INVOKE, "ThrottlingException"),
    FailureClass.CONFIGURATION: service_error(Operation.INVOKE, "AccessDeniedException"),
    FailureClass.TRANSIENT: service_error(Operation.INVOKE, "InternalFailure"),
}


@pytest.fixture
def world() -> World:
    return World()


def fails_with(error: Exception) -> Any:
    return lambda call: error


# --- failure: where the message goes -------------------------------------------------------------------------------

BROKEN: list[tuple[Any, str, str]] = [
    ("{not json", "message body: is not JSON", ID),
    ({"Body": "x", "Unknown": 1, "InferenceId": "i"}, "a key is not a parameter", "i"),
    ({"Body": "x", "BodyBase64": "QQ==", "InferenceId": "i"}, "exactly one of the three", "i"),
    ({"Body": "x", "EndpointName": "nope", "InferenceId": "i"}, "EndpointName: is not one of this deployment's", "i"),
    ({"InputLocation": "s3://secret/x", "InferenceId": "i"}, "InputLocation: the bucket is not on", "i"),
    ({"InputLocation": "s3://lake/gone", "InferenceId": "i"}, "The specified key does not exist", "i"),
    ({"InputLocation": "s3://lake/large", "InferenceId": "i"}, "InputLocation: 1001 bytes are over", "i"),
    ({"Body": "x" * 1001, "InferenceId": "i"}, "Body: 1001 bytes are over the deployment's max_body_bytes, 1000", "i"),
    ({"BodyBase64": "QUFB" * 334, "InferenceId": "i"}, "BodyBase64: 1002 bytes are over", "i"),
    ({"Body": "x", "CustomAttributes": "é", "InferenceId": "i"}, "CustomAttributes: must be visible ASCII", "i"),
    ({"BodyBase64": "%", "InferenceId": "i"}, "BodyBase64: is not valid base64", "i"),
]


@pytest.mark.parametrize(("body", "says", "name"), BROKEN)
def test_a_broken_message_goes_to_the_dead_letter_queue_at_once(world: World, body: Any, says: str, name: str) -> None:
    world.inputs.drop("large", b"x" * 1001, bucket="lake")
    outcome = world.deliver(body)
    assert outcome.status is Status.DEAD_LETTERED
    assert outcome.acknowledged
    assert not world.endpoint.calls
    sent, reason = world.dead_letter()
    assert sent == delivery(body).body, "the original message, verbatim"
    assert says in reason["ErrorMessage"]
    assert reason["TraceId"] == reason["InferenceId"] == name
    assert world.err(f"messages/{name}")["ErrorMessage"] == reason["ErrorMessage"]


def test_the_reason_has_the_message_of_the_model(world: World) -> None:
    world.endpoint.answer = fails_with(MODEL_400)
    world.deliver({"Body": "x", "TraceId": "t"}, attributes={"tenant": "blue"})
    _, reason = world.dead_letter()
    assert reason == {
        "ErrorCode": "ModelError",
        "ErrorMessage": "Received client error (400)",
        "OriginalStatusCode": "400",
        "OriginalMessage": "13 features expected",
        "LogStreamArn": "arn:aws:logs:x",
        "EndpointName": "wine",
        "TraceId": "t",
        "InferenceId": ID,
        "Attempts": "1",
        "FailedAt": "2026-11-24T12:00:00.000Z",
    }
    err = world.err(f"messages/{ID}")
    assert err["MessageAttributes"] == {"tenant": "blue"}
    assert err["FailureClass"] == "model"


@pytest.mark.parametrize("failure_class", [FailureClass.MODEL, FailureClass.INVALID])
def test_permanent_failures_are_not_retried(world: World, failure_class: FailureClass) -> None:
    world.endpoint.answer = fails_with(ERRORS[failure_class])
    assert world.deliver({"Body": "x"}).status is Status.DEAD_LETTERED
    assert not world.queue.delays


@pytest.mark.parametrize("failure_class", [FailureClass.CAPACITY, FailureClass.CONFIGURATION, FailureClass.TRANSIENT])
def test_retryable_failures_are_retried_later(world: World, failure_class: FailureClass) -> None:
    world.endpoint.answer = fails_with(ERRORS[failure_class])
    outcome = world.deliver({"Body": "x"}, receive_count=2)
    assert outcome.status is Status.RETRY
    assert not outcome.acknowledged
    ((receipt, seconds),) = world.queue.delays
    assert receipt == f"receipt of {ID}"
    assert 1 <= seconds <= 10
    assert outcome.retry_after_seconds == seconds
    assert not world.queue.sent
    assert not world.results.objects


@pytest.mark.parametrize("failure_class", [FailureClass.CAPACITY, FailureClass.CONFIGURATION, FailureClass.TRANSIENT])
def test_the_last_receive_goes_to_the_dead_letter_queue_with_its_reason(
    world: World, failure_class: FailureClass
) -> None:
    world.endpoint.answer = fails_with(ERRORS[failure_class])
    outcome = world.deliver({"Body": "x"}, receive_count=SETTINGS.max_receive_count)
    assert outcome.status is Status.DEAD_LETTERED
    _, reason = world.dead_letter()
    assert reason["ErrorCode"] == ERRORS[failure_class].code
    assert reason["Attempts"] == "3"
    assert world.err(f"messages/{ID}")["FailureClass"] == failure_class


def test_a_request_that_ends_the_models_process_is_retried_a_few_times(world: World) -> None:
    error = service_error(
        Operation.INVOKE, "ModelError", "", original_status_code=0, model_retry=ModelRetry(attempts=2)
    )
    world.endpoint.answer = fails_with(error)
    assert world.deliver({"Body": "x"}).status is Status.RETRY
    assert not world.results.objects
    assert world.deliver({"Body": "x"}, receive_count=2).status is Status.DEAD_LETTERED
    _, reason = world.dead_letter()
    assert (reason["ErrorCode"], reason["Attempts"]) == ("NoResponse", "2")
    assert world.err(f"messages/{ID}")["FailureClass"] == "transient"


def test_a_model_error_that_the_deployment_retries_is_dead_lettered_as_what_it_is(world: World) -> None:
    retry = ModelRetry(statuses=(500,), attempts=2)
    error = service_error(Operation.INVOKE, "ModelError", "oh", original_status_code=500, model_retry=retry)
    world.endpoint.answer = fails_with(error)
    assert world.deliver({"Body": "x"}).status is Status.RETRY
    assert world.deliver({"Body": "x"}, receive_count=2).status is Status.DEAD_LETTERED
    assert world.dead_letter()[1]["ErrorCode"] == "ModelError"
    assert world.err(f"messages/{ID}")["FailureClass"] == "model"


def test_an_unforeseen_error_is_retried_and_kept_for_the_log(world: World) -> None:
    bug = ZeroDivisionError("a bug")
    world.endpoint.answer = fails_with(bug)
    outcome = world.deliver({"Body": "x"})
    assert outcome.status is Status.RETRY
    assert outcome.error is bug


def test_an_expired_request_is_not_invoked(world: World) -> None:
    raw = {"Body": "x", "RequestTTLSeconds": 60}
    outcome = world.deliver(raw, age=timedelta(seconds=61))
    assert outcome.status is Status.DEAD_LETTERED
    assert not world.endpoint.calls
    assert world.dead_letter()[1]["ErrorCode"] == "Expired"
    assert world.err(f"messages/{ID}")["FailureClass"] == "expired"


def test_a_request_within_its_ttl_is_invoked(world: World) -> None:
    raw = {"Body": "x", "RequestTTLSeconds": 60}
    assert world.deliver(raw, age=timedelta(seconds=60)).status is Status.SUCCEEDED


def test_a_dropped_object_that_fails_has_its_own_err_and_trace(world: World) -> None:
    world.endpoint.answer = fails_with(MODEL_400)
    event = world.inputs.drop("invoke/a.csv", metadata={"trace-id": "t"})
    world.deliver(event)
    _, reason = world.dead_letter()
    assert reason["TraceId"] == "t"
    assert world.err("invoke/a.csv")["Source"] == "s3://input/invoke/a.csv"


def test_metadata_that_breaks_a_rule_is_named(world: World) -> None:
    outcome = world.deliver(world.inputs.drop("invoke/a", metadata={"request-ttl-seconds": "soon"}))
    assert outcome.failure is not None
    assert outcome.failure.message.startswith("request-ttl-seconds: ")


def test_a_bucket_that_is_not_listed_is_not_read(world: World) -> None:
    event = world.inputs.drop("invoke/a", bucket="elsewhere")
    outcome = world.deliver(event)
    assert outcome.status is Status.DEAD_LETTERED
    assert not world.endpoint.calls
    assert f"messages/{ID}.err" in world.results.objects


# --- nothing is acknowledged before its outcome is stored ----------------------------------------------------------


def _refuse(*operations: str) -> Any:
    def fail(operation: str, key: str) -> None:
        if operation in operations:
            raise service_error(Operation.STORE_RESULT, "SlowDown", status=503)

    return fail


@pytest.mark.parametrize("operations", [["put"], ["head", "put"]])
def test_a_result_that_cannot_be_stored_is_retried(world: World, operations: list[str]) -> None:
    world.results.fail = _refuse(*operations)
    assert world.deliver({"Body": "x", "InferenceId": "i"}).status is Status.RETRY


def test_an_err_that_cannot_be_stored_is_retried(world: World) -> None:
    world.results.fail = _refuse("put_error")
    assert world.deliver("{not json").status is Status.RETRY
    assert not world.queue.sent


def test_at_the_last_receive_the_dead_letter_queue_gets_the_reason_even_without_an_err(world: World) -> None:
    world.results.fail = _refuse("put_error")
    assert world.deliver("{not json", receive_count=3).status is Status.DEAD_LETTERED
    assert "is not JSON" in world.dead_letter()[1]["ErrorMessage"]


@pytest.mark.parametrize("operation", ["put_error", "head"])
def test_at_the_last_receive_the_err_is_stored_after_transient_errors_of_s3(world: World, operation: str) -> None:
    refusals = [operation] * 2

    def fail(name: str, key: str) -> None:
        if refusals and name == refusals[0]:
            refusals.pop()
            raise service_error(Operation.STORE_RESULT, "SlowDown", "Reduce your request rate.", status=503)

    world.results.fail = fail
    assert world.deliver("{not json", receive_count=3).status is Status.DEAD_LETTERED
    assert len(world.results.objects) == 1
    assert not refusals


def test_the_retries_of_an_err_end_with_the_time_of_the_function(world: World) -> None:
    world.results.fail = _refuse("put_error")
    parsed = world.core.parse(delivery("{not json", receive_count=3), lambda: 0)
    (outcome,) = world.processor.process(parsed)
    assert outcome.status is Status.DEAD_LETTERED
    assert not world.slept


def test_an_s3_that_hangs_leaves_time_for_the_dead_letter(world: World) -> None:
    async def hang(key: str, body: bytes, **_: Any) -> None:
        await sleep(1000)

    world.results.put = hang  # type: ignore[method-assign, assignment]

    async def main() -> tuple[list[Outcome], float]:
        parsed = world.core.parse(delivery("{not json", receive_count=3), lambda: 90_000 - now() * 1000)
        return await world.core.process(parsed), now()

    (outcome,), ended_at = run(main())
    assert outcome.status is Status.DEAD_LETTERED
    assert world.queue.sent
    assert ended_at <= 85


@pytest.mark.parametrize("receive_count", [1, 3])
def test_a_dead_letter_that_cannot_be_sent_is_an_item_failure(world: World, receive_count: int) -> None:
    world.queue.fail_send = service_error(Operation.DEAD_LETTER, "InternalError", status=500)
    assert world.deliver("{not json", receive_count=receive_count).status is Status.RETRY


def test_a_failure_to_change_the_visibility_does_not_lose_the_message(world: World) -> None:
    world.endpoint.answer = fails_with(ERRORS[FailureClass.CAPACITY])
    world.queue.fail_delay = service_error(Operation.DELAY, "InternalError", status=500)
    outcome = world.deliver({"Body": "x"})
    assert outcome.status is Status.RETRY
    assert outcome.retry_after_seconds is None


def test_a_delivery_returned_without_a_call(world: World) -> None:
    failure = Failure.of(ErrorCode.NOT_BEGUN, "no time")
    body = {"Body": "x", "InferenceId": "i"}
    (outcome,) = world.processor.release(world.processor.parse(delivery(body)), failure)
    assert outcome.status is Status.RETRY
    (outcome,) = world.processor.release(world.processor.parse(delivery(body, receive_count=3)), failure)
    assert outcome.status is Status.DEAD_LETTERED
    assert world.dead_letter()[1]["ErrorCode"] == "NotBegun"
    assert not world.endpoint.calls


# --- a notification with several records ---------------------------------------------------------------------------


def _both(world: World) -> dict[str, Any]:
    return {
        "Records": [
            *world.inputs.drop("invoke/good.csv", b"good")["Records"],
            *world.inputs.drop("invoke/bad.csv", b"bad")["Records"],
        ]
    }


def test_a_notification_with_a_good_and_a_bad_record(world: World) -> None:
    world.endpoint.answer = lambda call: MODEL_400 if call.body == b"bad" else Inference(b"ok")
    outcomes = world.process(delivery(_both(world)))
    assert [outcome.status for outcome in outcomes] == [Status.SUCCEEDED, Status.DEAD_LETTERED]
    assert set(world.results.objects) == {"invoke/good.csv.out", "invoke/bad.csv.err"}
    world.dead_letter()


def test_a_message_is_retried_if_one_of_its_records_is(world: World) -> None:
    throttled = ERRORS[FailureClass.CAPACITY]
    world.endpoint.answer = lambda call: throttled if call.body == b"bad" else Inference(b"ok")
    event = _both(world)
    first = world.process(delivery(event))
    assert [outcome.status for outcome in first] == [Status.SUCCEEDED, Status.RETRY]
    world.endpoint.answer = lambda call: Inference(b"ok")
    again = world.process(delivery(event, receive_count=2))
    assert [outcome.status for outcome in again] == [Status.DUPLICATE, Status.SUCCEEDED]
    assert [call.body for call in world.endpoint.calls] == [b"good", b"bad", b"bad"]
