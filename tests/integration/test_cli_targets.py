"""Every text that identifies a request finds it: keys, names of results, and IDs that look like them."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from cli.lookup.requests import RequestLookup
from cli.lookup.status import RequestState, RequestStatus
from cli.lookup.targets import sent_message
from cli.sending.message import result_name
from sluice.failures import Failure
from sluice.keys import message_name
from tests.support.cli import FakeDeployment, fake_deployment
from tests.support.cli_outcomes import answer, drop, fail, find

IDS = [
    "invoke/42",
    "invoke/",
    "invoke/../42",
    "transform/x.csv",
    "messages/x",
    "messages/x.out",
    "files/f/x.csv",
    "parts/x",
    "buckets/lake/x",
    "buckets/",
    "s3://x",
    "s3://results/messages/x.out",
    "s3://input/elsewhere",
    "s3://UPPER case/x",
    "50% off",
    "a  b",
    "%2F",
    "a.out",
    "a.err",
    "../..",
    "x" * 64,
]


@pytest.fixture
def deployment() -> Iterator[FakeDeployment]:
    with fake_deployment() as made:
        yield made


@pytest.mark.parametrize("inference_id", IDS)
def test_an_id_finds_its_request_whatever_it_looks_like(deployment: FakeDeployment, inference_id: str) -> None:
    assert find(deployment, inference_id).state is RequestState.UNKNOWN
    line = {"result": message_name(inference_id), "inference_id": inference_id, "trace_id": inference_id}
    deployment.fake_logs.line("retry", datetime.now(UTC), **line)
    assert find(deployment, inference_id).state is RequestState.RETRYING
    fail(deployment, message_name(inference_id), inference_id)
    assert find(deployment, inference_id).state is RequestState.FAILED
    answer(deployment, message_name(inference_id), inference_id)
    for text in (inference_id, message_name(inference_id), message_name(inference_id) + ".out"):
        status = find(deployment, text)
        assert (status.state, status.name) == (RequestState.DONE, message_name(inference_id)), text


def test_a_key_comes_before_an_id(deployment: FakeDeployment) -> None:
    answer(deployment, message_name("invoke/a"), "invoke/a")
    assert find(deployment, "invoke/a").name == message_name("invoke/a")
    identity, _ = drop(deployment, "invoke/a")
    status = find(deployment, "invoke/a")
    assert (status.state, status.name) == (RequestState.PENDING, "invoke/a"), "the upload has no outcome yet"
    answer(deployment, "invoke/a", identity)
    assert find(deployment, "invoke/a").name == "invoke/a"


@pytest.mark.parametrize("text", ["invoke/a.out", "invoke/a.err", "s3://results/invoke/a.out", "s3://results/invoke/a"])
def test_the_key_of_a_stored_outcome_finds_its_request(deployment: FakeDeployment, text: str) -> None:
    identity, _ = drop(deployment, "invoke/a")
    answer(deployment, "invoke/a", identity)
    assert find(deployment, text).name == "invoke/a"


def test_an_input_may_be_called_as_a_result_is(deployment: FakeDeployment) -> None:
    for key in ("invoke/a", "invoke/a.out"):
        identity, _ = drop(deployment, key)
        answer(deployment, key, identity)
    assert find(deployment, "invoke/a.out").name == "invoke/a.out"
    assert find(deployment, "s3://results/invoke/a.out").name == "invoke/a"
    assert find(deployment, "s3://results/invoke/a.err.out").name == "invoke/a.err"


def test_a_text_that_is_not_utf8_is_refused(deployment: FakeDeployment) -> None:
    with pytest.raises(Failure, match="not UTF-8"):
        find(deployment, "a\udcff")


# Names that a sender chooses.


def log(deployment: FakeDeployment, status: str, name: str, owner: str) -> None:
    line = {"result": name, "inference_id": owner, "trace_id": "shared", "message_id": f"m-{owner}"}
    deployment.fake_logs.line(status, datetime.now(UTC), **line)


@pytest.mark.parametrize("text", ["a", "messages/f/g/a", "messages/f/g/a.out", "m-a", "shared"])
def test_a_request_with_a_folder(deployment: FakeDeployment, text: str) -> None:
    log(deployment, "succeeded", "messages/f/g/a", "a")
    answer(deployment, "messages/f/g/a", "a")
    status = find(deployment, text)
    assert (status.state, status.name) == (RequestState.DONE, "messages/f/g/a")


@pytest.mark.parametrize("folder", ["", "f", "f/g"])
def test_a_request_with_a_filename(deployment: FakeDeployment, folder: str) -> None:
    message = {"InferenceId": "a/b", "Filename": "x.csv", **({"S3OutputPathExtension": folder} if folder else {})}
    name = result_name(message)
    log(deployment, "succeeded", name, "a/b")
    answer(deployment, name, "a/b → x.csv")
    for text in ("a/b", name, f"{name}.out"):
        assert find(deployment, text).name == name
    assert RequestLookup(deployment).find(sent_message(name, "a/b"))[0].state is RequestState.DONE


def test_the_failures_of_requests_with_one_inference_id(deployment: FakeDeployment) -> None:
    fail(deployment, "messages/i@a", "i → a", message_id="m-first")
    fail(deployment, "messages/i@b", "i → b", message_id="m-second")
    for name, message_id in (("files/a", "m-first"), ("files/b", "m-second")):
        deployment.fake_logs.line(
            "dead-lettered", datetime.now(UTC), result=name, inference_id="i", trace_id="i", message_id=message_id
        )
        for text in (name, message_id, f"messages/i@{name[-1]}.err"):
            status = find(deployment, text)
            assert (status.state, status.details["MessageId"]) == (RequestState.FAILED, message_id)


@pytest.mark.parametrize("folder", ["", "f"])
def test_the_second_request_with_a_filename_has_its_own_outcome(deployment: FakeDeployment, folder: str) -> None:
    name = f"files/{folder}/x" if folder else "files/x"
    answer(deployment, name, "first → x")
    fail(deployment, message_name("second", folder=folder, filename="x"), "second → x", message_id="m-second")
    log(deployment, "succeeded", name, "first")
    log(deployment, "dead-lettered", name, "second")

    def sent(owner: str) -> RequestStatus:
        return RequestLookup(deployment).find(sent_message(name, owner))[0]

    for look_up in (sent, lambda owner: find(deployment, owner), lambda owner: find(deployment, f"m-{owner}")):
        assert look_up("first").state is RequestState.DONE
        status = look_up("second")
        assert (status.state, status.reason) == (RequestState.FAILED, "ModelError: it failed")
    assert find(deployment, name).state is RequestState.DONE, "that is the answer with this name"
    lookup = RequestLookup(deployment)
    assert {one.state for one in lookup.find(lookup.query("shared"))} == {RequestState.DONE, RequestState.FAILED}
