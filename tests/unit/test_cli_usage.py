"""Usage errors are one line, say what is accepted, and are found before any request to AWS."""

from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, EndpointConnectionError, NoCredentialsError, ReadTimeoutError
from click.testing import CliRunner

from cli.deployment import Deployment
from cli.lookup.targets import query_for
from cli.main import main
from sluice.failures import Failure


@pytest.fixture(autouse=True)
def no_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    def session(_: Deployment) -> None:
        raise AssertionError("AWS was needed")

    monkeypatch.setattr(Deployment, "session", property(session))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing"], "No such command 'nothing' (see `sluice --help`)"),
        (["--nothing"], "No such option '--nothing' (see `sluice --help`)"),
        (["wait"], "Missing argument 'REQUESTS...' (see `sluice wait --help`)"),
        (["dlq", "ls", "--nothing"], "(see `sluice dlq ls --help`)"),
        (["drop", "no-such-file"], "'no-such-file' does not exist (see `sluice drop --help`)"),
        (["backfill", "s3://a/b", "--max-per-second", "abc"], "'abc' is not a number over 0, such as 20 or 0.5"),
        (["backfill", "s3://a/b", "--max-per-second", "0"], "'0' is not a number over 0"),
        (["backfill", "s3://a/b", "--max-per-second", "nan"], "'nan' is not a number over 0"),
        (["dlq", "redrive", "--limit", "0.5"], "'--limit': '0.5' is not a whole number of at least 1"),
        (["size", "--memory-mb", "64"], "'64' is not a whole number from 128 to 10240"),
        (["size", "--latency-ms", "1", "--concurrency", "2", "--per-second", "-1"], "'-1' is not a number of at least"),
        (["backfill", "x"], "x is not s3://bucket/prefix"),
        (["watch", "--interval", "0s"], "'0s' is out of range; give a duration from 1s to"),
        (["dlq", "redrive", "--set", "foo"], "--set: 'foo' must be Key=value"),
        (["send", "--body", "x", "--input-location", "s3://lake/b"], "exactly one of the three must be given"),
        (["send", __file__, "--body", "x"], "FILE, --body: give only one of the two"),
        (["send", "--message", "@nofile"], "--message: there is no file nofile"),
    ],
)
def test_a_usage_error_is_one_line_and_needs_no_aws(arguments: list[str], says: str) -> None:
    run = CliRunner().invoke(main, arguments, prog_name="sluice")
    assert run.exit_code == 2, run.output
    assert run.stderr.startswith("Error: ")
    assert says in run.stderr
    assert run.stderr.count("\n") == 1
    assert not run.stdout


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (NoCredentialsError(), "aws sso login"),
        (EndpointConnectionError(endpoint_url="https://x"), "AWS_ENDPOINT_URL"),
        (ReadTimeoutError(endpoint_url="https://x"), 'Read timeout on endpoint URL: "https://x"\n'),
    ],
)
def test_an_error_of_the_connection_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, error: BotoCoreError, advice: str
) -> None:
    def session(_: Deployment) -> None:
        raise error

    monkeypatch.setattr(Deployment, "session", property(session))
    run = CliRunner().invoke(main, ["status", "a"], prog_name="sluice")
    assert run.exit_code == 1
    assert run.stderr.startswith("Error: ")
    assert advice in run.stderr


@pytest.mark.parametrize("text", ["", "i" * 65, "a\tb"])
def test_a_text_that_is_neither_a_key_nor_an_id(text: str) -> None:
    with pytest.raises(Failure, match="must be a key, the name of a result, or an ID"):
        query_for(text, "input", "results")


@pytest.mark.parametrize("arguments", [[], ["dlq"]])
def test_a_group_alone_shows_its_help(arguments: list[str]) -> None:
    run = CliRunner().invoke(main, arguments, prog_name="sluice")
    assert "Commands:" in run.output


def test_a_message_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "message.json"
    file.write_bytes(b"\xff")
    run = CliRunner().invoke(main, ["send", "--message", f"@{file}"], prog_name="sluice")
    assert run.exit_code == 2
    assert run.stderr == f"Error: --message: {file} is not UTF-8\n"
