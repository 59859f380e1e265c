"""`sluice transform retry`: what it sends, what it refuses, and when it says that a retry has ended."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from cli.errors import CliError, ExitCode
from cli.lookup.failures import SENT_AGAIN
from cli.transform.retry import Retries
from sluice.inputs.envelopes import parse
from sluice.inputs.identity import key_of_version
from sluice.inputs.requests import TransformRetry
from sluice.keys import failure_key, part_name, parts_folder
from tests.support.cli import FakeDeployment, fake_deployment

KEY = "transform/wine/rows.csv"


@pytest.fixture
def deployment() -> Iterator[FakeDeployment]:
    with fake_deployment() as made:
        yield made


def upload(deployment: FakeDeployment, body: bytes = b"1\nx\n") -> str:
    """Upload the file, and return the owner of its outcome."""
    version = deployment.s3.put_object(Bucket="input", Key=KEY, Body=body)["VersionId"]
    return key_of_version("input", KEY, version)


def put(deployment: FakeDeployment, key: str, body: bytes = b"", **metadata: str) -> None:
    named = {name.replace("_", "-"): value for name, value in metadata.items()}
    deployment.s3.put_object(Bucket="results", Key=key, Body=body, Metadata=named)


def finish(deployment: FakeDeployment, owner: str, failed: int = 1, **metadata: str) -> None:
    put(deployment, part_name(parts_folder(KEY, owner), 0, 4) + ".out")
    put(deployment, f"{KEY}.out", b"1\n\n", sluice_identity=owner, records="2", failed=str(failed), **metadata)


def fail(deployment: FakeDeployment, owner: str) -> None:
    document = json.dumps({"ErrorCode": "NoRecordSucceeded", "ErrorMessage": "none"}).encode()
    put(deployment, f"{KEY}.err", document, sluice_identity=owner, message_id="m")


def sent(deployment: FakeDeployment) -> list[TransformRetry]:
    url = deployment.output("SplitQueueUrl")
    messages = deployment.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    found = [one for message in messages for one in parse(message["Body"])]
    assert all(isinstance(one, TransformRetry) for one in found)
    return [one for one in found if isinstance(one, TransformRetry)]


def refusal(deployment: FakeDeployment, key: str = KEY) -> tuple[int, str]:
    with pytest.raises(CliError) as raised:
        Retries(deployment).find(key)
    assert not sent(deployment)
    return raised.value.exit_code, raised.value.message


@pytest.mark.parametrize("text", [KEY, f"s3://input/{KEY}"])
def test_one_message_about_the_version_is_sent(deployment: FakeDeployment, text: str) -> None:
    owner = upload(deployment)
    finish(deployment, owner, source_sequencer="0A")
    retries = Retries(deployment)
    file = retries.find(text)
    assert file.failed == 1
    retries.send(file)
    (request,) = sent(deployment)
    assert key_of_version("input", request.file.key, request.file.version_id) == owner
    assert (request.file.size, request.file.sequencer) == (4, "0A")
    code, message = refusal(deployment)
    assert code == ExitCode.PENDING
    assert "still runs" in message


def test_a_file_that_failed_as_a_whole_is_retried_once(deployment: FakeDeployment) -> None:
    fail(deployment, upload(deployment))
    retries = Retries(deployment)
    retries.send(retries.find(KEY))
    assert len(sent(deployment)) == 1
    tags = deployment.s3.get_object_tagging(Bucket="results", Key=f"{KEY}.err")["TagSet"]
    assert [tag["Key"] for tag in tags] == [SENT_AGAIN]
    assert refusal(deployment)[0] == ExitCode.PENDING


def test_what_cannot_be_retried_is_refused_with_the_reason(deployment: FakeDeployment) -> None:
    assert refusal(deployment, "invoke/a.csv") == (
        ExitCode.USAGE,
        "invoke/a.csv: only files under s3://input/transform/ can be retried",
    )
    assert refusal(deployment)[0] == ExitCode.NOT_FOUND
    owner = upload(deployment)
    assert refusal(deployment) == (ExitCode.PENDING, f"{KEY}: its newest version still runs")
    finish(deployment, owner, failed=0)
    assert refusal(deployment)[0] == ExitCode.USAGE
    finish(deployment, owner)
    upload(deployment, b"2\n")
    assert refusal(deployment) == (ExitCode.PENDING, f"{KEY}: its newest version still runs")


def test_a_file_whose_parts_have_expired_is_refused(deployment: FakeDeployment) -> None:
    owner = upload(deployment)
    finish(deployment, owner)
    deployment.s3.delete_object(Bucket="results", Key=part_name(parts_folder(KEY, owner), 0, 4) + ".out")
    code, message = refusal(deployment)
    assert code == ExitCode.NOT_FOUND
    assert "its parts have expired" in message


class Clock:
    def __init__(self, *acts: Any) -> None:
        self.now = 0.0
        self._acts = list(acts)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self._acts:
            self._acts.pop(0)()


def test_it_waits_for_the_result_of_its_own_run(deployment: FakeDeployment) -> None:
    owner = upload(deployment)
    finish(deployment, owner)
    ids: list[str] = []

    def other() -> None:
        finish(deployment, owner, run="0000000000001" + "0" * 8)

    def own() -> None:
        finish(deployment, owner, failed=0, run="0000000000002" + hashlib.sha256(ids[0].encode()).hexdigest()[:8])

    clock = Clock(other, own)
    retries = Retries(deployment, clock=lambda: clock.now, sleep=clock.sleep)
    file = retries.find(KEY)
    message = retries.send(file)
    ids.append(message.message_id)
    ended = retries.wait(file, message, 60)
    assert ended.exit_code == ExitCode.OK
    assert ended.document == {"State": "done", "Records": 2, "RecordsFailed": 0}
    assert clock.now == 4


def test_a_retry_that_fails_is_known_by_its_claim_and_may_be_sent_again(deployment: FakeDeployment) -> None:
    owner = upload(deployment)
    finish(deployment, owner)
    retries = Retries(deployment, clock=lambda: 0, sleep=lambda _: None)
    file = retries.find(KEY)
    message = retries.send(file)
    document = json.dumps({"ErrorCode": "ThrottlingException", "ErrorMessage": "slow down"}).encode()
    put(deployment, failure_key(parts_folder(KEY, owner), f"1795521600000{message.digest}"), document)
    ended = retries.wait(file, message, 60)
    assert ended.exit_code == ExitCode.FAILED
    assert ended.document == {"State": "failed", "ErrorCode": "ThrottlingException", "ErrorMessage": "slow down"}


def test_a_retry_that_a_newer_upload_has_ended(deployment: FakeDeployment) -> None:
    finish(deployment, upload(deployment))
    retries = Retries(deployment)
    file = retries.find(KEY)
    message = retries.send(file)
    upload(deployment, b"2\n")
    assert retries.wait(file, message, 60).document["State"] == "superseded"


def test_without_an_end_it_is_pending(deployment: FakeDeployment) -> None:
    finish(deployment, upload(deployment))
    clock = Clock()
    retries = Retries(deployment, clock=lambda: clock.now, sleep=clock.sleep)
    file = retries.find(KEY)
    assert retries.wait(file, retries.send(file), 7).exit_code == ExitCode.PENDING
    assert clock.now == 8
