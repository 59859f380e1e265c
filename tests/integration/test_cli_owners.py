"""An outcome is that of its owner, whatever is stored, replaced or deleted while it is read."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.errors import CliError, ExitCode
from cli.lookup.answer import write_answer
from cli.lookup.failures import ErrorKey, Failures
from cli.lookup.status import RequestState, RequestStatus
from cli.output import Output
from sluice.inputs.identity import key_of_version
from sluice.keys import part_name, parts_folder
from tests.support.cli import FakeDeployment, fake_deployment
from tests.support.cli_outcomes import answer, drop, fail, find
from tests.support.racing import Racing

NAME = "messages/a"


@pytest.fixture
def deployment() -> Iterator[FakeDeployment]:
    with fake_deployment() as made:
        yield made


@pytest.mark.parametrize("is_sent_again", [True, False])
def test_a_request_that_is_answered_while_it_is_looked_up_is_failed_or_done(
    deployment: FakeDeployment, *, is_sent_again: bool
) -> None:
    s3 = deployment.s3

    def succeed() -> None:
        answer(deployment, NAME, "a")
        s3.delete_object(Bucket="results", Key=f"{NAME}.err")

    for call in itertools.count(1):
        s3.delete_object(Bucket="results", Key=f"{NAME}.out")
        fail(deployment, NAME, "a")
        if is_sent_again:
            failures = Failures(s3, "results")
            failure = failures.own(ErrorKey(f"{NAME}.err", "a"))
            with failures.sent_again([[failure] if failure else []]):
                pass
        racing = Racing(s3, call, succeed)
        deployment.__dict__["s3"] = racing
        status = find(deployment, "a")
        deployment.__dict__["s3"] = s3
        if len(racing.calls) < call:
            assert call > 3
            break
        before = RequestState.PENDING if is_sent_again else RequestState.FAILED
        assert status.state in {before, RequestState.DONE}
        assert find(deployment, "a").state is RequestState.DONE


def test_the_answer_to_a_newer_upload_is_written_with_its_own_status(
    deployment: FakeDeployment, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    answer(deployment, "invoke/a", drop(deployment, "invoke/a")[0], b"old")
    status = find(deployment, "invoke/a")
    newest, _ = drop(deployment, "invoke/a")
    answer(deployment, "invoke/a", newest, b"new")
    write_answer(deployment, Output(as_json=True), "invoke/a", status, look_up=lambda: find(deployment, "invoke/a"))
    printed = json.loads(capsysbinary.readouterr().out)
    assert (printed["Body"], printed["TraceId"]) == ("new", newest)


def test_an_answer_that_is_deleted_before_it_is_read_is_reported(deployment: FakeDeployment, tmp_path: Path) -> None:
    answer(deployment, NAME, "a")
    status = find(deployment, "a")
    deployment.s3.delete_object(Bucket="results", Key=f"{NAME}.out")
    file = tmp_path / "answer"
    file.write_bytes(b"kept")
    with pytest.raises(CliError, match="nothing is known of a") as raised:
        write_answer(deployment, Output(as_json=False), "a", status, look_up=lambda: find(deployment, "a"), target=file)
    assert raised.value.exit_code == ExitCode.NOT_FOUND
    assert file.read_bytes() == b"kept"


def test_an_answer_that_is_replaced_all_the_time_is_given_up(deployment: FakeDeployment) -> None:
    answer(deployment, NAME, "a")
    status = RequestStatus(RequestState.DONE, NAME, {"ContentType": ""}, "another")
    with pytest.raises(CliError, match="again and again"):
        write_answer(deployment, Output(as_json=False), "a", status, look_up=lambda: status)


# Versions of an object.


def test_the_err_of_an_older_version_is_not_that_of_a_newer_one(deployment: FakeDeployment) -> None:
    older, _ = drop(deployment, "invoke/a")
    newer, _ = drop(deployment, "invoke/a")
    fail(deployment, "invoke/a", older)
    assert find(deployment, "invoke/a").state is RequestState.PENDING, "although it was written after the upload"
    fail(deployment, "invoke/a", newer, InferenceId="chosen")
    assert find(deployment, "invoke/a").state is RequestState.FAILED, "although the sender has chosen the ID"


@pytest.mark.parametrize("suffix", ["out", "err"])
def test_an_owner_is_compared_decoded(deployment: FakeDeployment, suffix: str) -> None:
    owner = "50%  off"
    name = "files/f"
    line = {"result": name, "inference_id": owner, "trace_id": owner, "message_id": "m"}
    _, at = drop(deployment, "invoke/other")
    deployment.fake_logs.line("succeeded", at, **line)
    if suffix == "out":
        answer(deployment, name, f"{owner} → f")
    else:
        fail(deployment, "messages/50%25%20%20off@f", f"{owner} → f")
    assert find(deployment, owner).state is (RequestState.DONE if suffix == "out" else RequestState.FAILED)


@pytest.mark.parametrize("suffix", ["out", "err"])
def test_in_a_bucket_without_versions_the_etag_tells_uploads_apart(deployment: FakeDeployment, suffix: str) -> None:
    deployment.s3.put_bucket_versioning(Bucket="input", VersioningConfiguration={"Status": "Suspended"})
    owner = key_of_version("input", "invoke/a", "0A")  # by the sequencer, which only the event has

    def upload(body: bytes) -> str:
        drop(deployment, "invoke/a", body=body)
        return deployment.s3.head_object(Bucket="input", Key="invoke/a")["ETag"].strip('"')

    etag = upload(b"1")
    if suffix == "out":
        answer(deployment, "invoke/a", owner, described={"source-version": etag})
    else:
        fail(deployment, "invoke/a", owner, source_version=etag)
    assert find(deployment, "invoke/a").state is (RequestState.DONE if suffix == "out" else RequestState.FAILED)
    upload(b"2")
    assert find(deployment, "invoke/a").state is RequestState.PENDING


def test_the_failure_of_the_newest_version_counts_after_its_object_was_deleted(deployment: FakeDeployment) -> None:
    """The result of the older version stays beside it."""
    older, _ = drop(deployment, "invoke/a", body=b"1")
    answer(deployment, "invoke/a", older)
    newer, _ = drop(deployment, "invoke/a", body=b"2")
    fail(deployment, "invoke/a", newer)
    assert find(deployment, "invoke/a").state is RequestState.FAILED
    deployment.s3.delete_object(Bucket="input", Key="invoke/a")
    assert find(deployment, "invoke/a").state is RequestState.FAILED


def test_the_progress_of_a_file_counts_its_own_parts(deployment: FakeDeployment) -> None:
    owner, _ = drop(deployment, "transform/a", body=b"1\n2\n")
    for name in ("transform/a", f"transform/a/{owner}/b"):  # a key that continues the folder of the parts
        deployment.s3.put_object(Bucket="results", Key=part_name(parts_folder(name, owner), 0, 2) + ".out", Body=b"1\n")
    details = find(deployment, "transform/a").details
    assert (details["PartsDone"], details["BytesDone"]) == (1, 2)
