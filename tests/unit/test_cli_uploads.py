"""The uploads of `sluice drop`: their keys, their metadata, and what is rejected before the first upload."""

from pathlib import Path

import pytest

from cli.errors import CliError, ExitCode
from cli.sending.uploads import PlannedUpload, check_uploads, key_prefix, parse_metadata, plan_uploads
from sluice.failures import Failure
from tests.support.fakes import SETTINGS


def test_the_files_of_a_folder_keep_their_paths(tmp_path: Path) -> None:
    for name in ("a.csv", "sub/b.png", ".hidden", ".git/config", "sub/.DS_Store"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"12")
    uploads = plan_uploads([tmp_path], "invoke/", None)
    assert [(one.key, one.size, one.content_type) for one in uploads] == [
        ("invoke/a.csv", 2, "text/csv"),
        ("invoke/sub/b.png", 2, "image/png"),
    ]
    assert plan_uploads([tmp_path / ".hidden"], "invoke/", "text/csv")[0].content_type == "text/csv"


def test_two_files_with_the_same_key_and_no_file(tmp_path: Path) -> None:
    for name in ("a", "b", "empty"):
        (tmp_path / name).mkdir()
    for name in ("a", "b"):
        (tmp_path / name / "same.csv").touch()
    with pytest.raises(CliError, match=r"both would be invoke/same\.csv"):
        plan_uploads([tmp_path / "a", tmp_path / "b"], "invoke/", None)
    assert len(plan_uploads([tmp_path / "a", tmp_path / "a"], "invoke/", None)) == 1
    with pytest.raises(CliError, match="no file"):
        plan_uploads([tmp_path / "empty"], "invoke/", None)


def test_metadata() -> None:
    given = ["accept=text/csv", "team=blue", "Trace-Id=x=y", "split-type=None"]
    assert parse_metadata(given) == {"accept": "text/csv", "team": "blue", "trace-id": "x=y", "split-type": "None"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("acept=x", "did you mean accept?"),
        ("TraceId=x", "did you mean trace-id?"),
        ("custom_attributes=x", "did you mean custom-attributes?"),
        ("batch-stratgy=x", "did you mean batch-strategy?"),
        ("accept", "must be NAME=VALUE"),
        ("=x", "must be NAME=VALUE"),
        ("team=blü", "team must be printable ASCII"),
        ("team=" + "x" * 2048, "2052 bytes are over the 2048"),
    ],
)
def test_invalid_metadata(given: str, says: str) -> None:
    with pytest.raises(CliError) as raised:
        parse_metadata([given])
    assert says in raised.value.message
    assert raised.value.exit_code == ExitCode.USAGE


def upload(key: str, size: int = 1) -> PlannedUpload:
    return PlannedUpload(Path("file"), key, size, None)


@pytest.mark.parametrize(
    ("one", "metadata", "endpoint_name", "says"),
    [
        (upload("invoke/a"), {"trace-id": "a b"}, None, "trace-id: "),
        (upload("invoke/a"), {"request-ttl-seconds": "5"}, None, "request-ttl-seconds: "),
        (upload("invoke/a"), {"endpoint-name": "wein"}, None, "EndpointName: is not one of"),
        (upload("invoke/wein/a"), {}, "wein", "EndpointName: is not one of"),
        (upload("transform/a"), {"split-type": "Word"}, None, "split-type: "),
        (upload("invoke/a", 1001), {}, None, "file: 1,001 bytes are over"),
        (upload("invoke/a\nb"), {}, None, "key: must not hold control characters"),
    ],
)
def test_an_upload_that_the_functions_would_reject(
    one: PlannedUpload, metadata: dict[str, str], endpoint_name: str | None, says: str
) -> None:
    with pytest.raises(Failure, match=says):
        check_uploads([one], metadata, SETTINGS, endpoint_name, "input")


def test_a_file_to_transform_may_be_large() -> None:
    check_uploads([upload("transform/a", 10**9)], {"split-type": "Line"}, SETTINGS, "wine", "input")
    check_uploads([upload("invoke/a", 10**9)], {"endpoint-name": "wein"}, None, None, "input")


def test_the_prefix_of_the_keys() -> None:
    assert key_prefix("invoke/", None) == key_prefix("invoke", None) == "invoke/"
    assert key_prefix("transform/", "wine") == "transform/wine/"
    assert key_prefix("invoke/a/b", None) == "invoke/a/b/"
    for to, endpoint_name in (("elsewhere/", None), ("invoked", None), ("invoke/a", "wine")):
        with pytest.raises(CliError):
            key_prefix(to, endpoint_name)
