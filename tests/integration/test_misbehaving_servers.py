"""Servers that misbehave: the lean transport has boto3's outcome for each, or the table says why not."""

import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import trustme

from sluice.aws.clients import Clients
from sluice.aws.http.sagemaker import LeanSageMakerRuntime
from sluice.aws.loop import Loop
from sluice.aws.sagemaker import SageMakerEndpoint
from sluice.aws.transport import hot_clients
from sluice.failures import classify
from tests.support.fakes import with_settings
from tests.support.misbehaving import BEHAVIORS, Behavior, MisbehavingServer, misbehaving

READ_TIMEOUT = 0.3  # seconds
DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "reliability.md"

Transport = Literal["lean", "boto3"]


@pytest.fixture(scope="module")
def server() -> Iterator[MisbehavingServer]:
    with misbehaving() as server:
        yield server


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MisbehavingServer]:
    authority, bundle = trustme.CA(), tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with pytest.MonkeyPatch.context() as patch, misbehaving(context) as server:
        patch.setenv("AWS_CA_BUNDLE", str(bundle))
        yield server


def _outcome(server: MisbehavingServer, behavior: Behavior, transport: Transport) -> Any:
    """The answer, or what the core uses of an error."""
    server.behavior = behavior
    settings = with_settings(read_timeout_seconds=READ_TIMEOUT, transport=transport)
    loop = Loop(threads=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", server.url)
        patch.setenv("AWS_ACCESS_KEY_ID", "id")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        clients = Clients(read_timeout_seconds=READ_TIMEOUT, connections=2)
        sagemaker, _ = hot_clients(loop, settings, os.environ, clients)
        boto3 = clients.sagemaker_runtime
    before = server.requests
    try:
        inference = loop.run(SageMakerEndpoint(sagemaker).invoke("wine", behavior.body, {}, seconds=READ_TIMEOUT))
    except Exception as error:  # noqa: BLE001 - boto3's stream raises a ValueError for some lengths
        status, original = getattr(error, "status", None), getattr(error, "original_status_code", None)
        return classify(error).failure_class, status, original
    else:
        return inference.body, inference.content_type
    finally:
        if isinstance(sagemaker, LeanSageMakerRuntime):
            sagemaker.close()
        boto3.close()
        loop.close()
        server.release()
        assert server.requests <= before + 1, "a call that is billed is made once"


@pytest.mark.parametrize("behavior", BEHAVIORS, ids=str)
def test_the_outcome_is_that_of_boto3(server: MisbehavingServer, behavior: Behavior) -> None:
    lean, boto3 = (_outcome(server, behavior, transport) for transport in ("lean", "boto3"))
    if behavior.differs is None:
        assert lean == boto3
    else:
        assert lean != boto3, f"it no longer differs: {behavior.differs}"


@pytest.mark.parametrize("behavior", [one for one in BEHAVIORS if one.reads == "head"], ids=str)
def test_an_early_response_is_read_over_tls_too(
    server: MisbehavingServer, tls_server: MisbehavingServer, behavior: Behavior
) -> None:
    """boto3 reads it only without TLS: OpenSSL refuses to write, and http.client does not read then."""
    assert _outcome(tls_server, behavior, "lean") == _outcome(server, behavior, "lean")


def test_the_document_states_the_number() -> None:
    differing = sum(behavior.differs is not None for behavior in BEHAVIORS)
    text = " ".join(DOCUMENT.read_text().split())
    for said in (f"{len(BEHAVIORS)} behaviors of servers", f"in {differing} of them"):
        assert said in text, f"update docs/reliability.md: {said}"
