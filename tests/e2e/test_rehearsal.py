"""The README's commands by the CDK CLI itself: a bounded part of `make rehearse`."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.rehearsal import cdk
from local.rehearsal.account import Account, local_account
from local.rehearsal.cases import CASES, README
from local.rehearsal.cdk import Cdk, CdkError, CdkUnavailableError
from local.rehearsal.report import PAGE


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    try:
        cdk.version()
    except CdkUnavailableError as error:
        pytest.skip(str(error))
    with local_account(tmp_path_factory.mktemp("account")) as found:
        yield found


def test_bootstrap_deploy_and_destroy(account: Account, tmp_path: Path) -> None:
    cli = Cdk(account.url, tmp_path, context={"sluice:built-for": README.target})
    settings = {"alarms": {"composite": True, "email": "ops@example.com"}}
    cli.bootstrap()
    cli.deploy(settings)
    assert account.stacks() == dict.fromkeys(("CDKToolkit", "Sluice"), "CREATE_COMPLETE")
    resources = account.resources("Sluice")
    assert {one.type for one in resources} >= {"AWS::Lambda::Function", "AWS::CloudWatch::CompositeAlarm"}
    assert all(account.exists(one) is not False for one in resources)
    # Of the assembly as it is: `make rehearse` synthesizes it again, as a user does.
    Cdk(account.url, tmp_path / "again", app=str(cli.output)).destroy({})
    assert set(account.stacks()) == {"CDKToolkit"}
    kept = {one.type for one in resources if account.exists(one)}
    assert kept == {"AWS::S3::Bucket", "AWS::SQS::Queue", "AWS::Logs::LogGroup"}


def test_a_command_that_fails_ends_with_what_it_printed(account: Account, tmp_path: Path) -> None:
    with pytest.raises(CdkError, match=r"^cdk diff: exit code 2: .*sluice\.batch_size: must be at least 1"):
        Cdk(account.url, tmp_path, app="echo sluice.batch_size: must be at least 1 >&2; exit 1").diff({})


def test_the_table_in_the_docs_has_each_case() -> None:
    (block,) = re.findall(r"<!-- rehearsal -->\n(.*?)<!-- end -->", PAGE.read_text(), re.DOTALL)
    named = re.findall(r"^\| \[(.*?)\]\((.*?)\) \|", block, re.MULTILINE)
    assert named == [(case.name, case.page) for case in CASES], "run `make rehearse`"
    for case in CASES:
        target = case.page.partition("#")[0]
        assert (PAGE.parent / target).exists(), target
