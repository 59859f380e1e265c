"""Servers that misbehave: the lean transport has boto3's outcome for each, or the table says why not."""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
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


class Caller:
    """Calls a server over one of the transports."""

    def __init__(self, server: MisbehavingServer, transport: Literal["lean", "boto3"]) -> None:
        self._server = server
        self._loop = Loop(threads=2)
        self._clients = Clients(read_timeout_seconds=READ_TIMEOUT, connections=2)
        settings = with_settings(read_timeout_seconds=READ_TIMEOUT, transport=transport)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", server.url)
            patch.setenv("AWS_ACCESS_KEY_ID", "id")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
            patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
            self._sagemaker, _ = hot_clients(self._loop, settings, os.environ, self._clients)
            self._boto3 = self._clients.sagemaker_runtime

    def outcome(self, behavior: Behavior) -> Any:
        """The answer, or what the core uses of an error."""
        self._server.behavior, before = behavior, self._server.requests
        call = SageMakerEndpoint(self._sagemaker).invoke("wine", behavior.body, {}, seconds=READ_TIMEOUT)
        try:
            inference = self._loop.run(call)
        except Exception as error:  # noqa: BLE001 - boto3's stream raises a ValueError for some lengths
            status, original = getattr(error, "status", None), getattr(error, "original_status_code", None)
            return classify(error).failure_class, status, original
        else:
            return inference.body, inference.content_type
        finally:
            self._close_connections()
            assert self._server.requests <= before + 1, "a call that is billed is made once"

    def _close_connections(self) -> None:
        if isinstance(self._sagemaker, LeanSageMakerRuntime):
            self._sagemaker.close()
        self._boto3.close()
        self._server.release()

    def close(self) -> None:
        """Close the connections and the loop."""
        self._close_connections()
        self._loop.close()


@contextmanager
def calling(server: MisbehavingServer, transport: Literal["lean", "boto3"]) -> Iterator[Caller]:
    caller = Caller(server, transport)
    try:
        yield caller
    finally:
        caller.close()


@pytest.fixture(scope="module")
def server() -> Iterator[MisbehavingServer]:
    with misbehaving() as server:
        yield server


@pytest.fixture(scope="module")
def lean(server: MisbehavingServer) -> Iterator[Caller]:
    with calling(server, "lean") as caller:
        yield caller


@pytest.fixture(scope="module")
def boto3(server: MisbehavingServer) -> Iterator[Caller]:
    with calling(server, "boto3") as caller:
        yield caller


@pytest.fixture(scope="module")
def lean_over_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    authority, bundle = trustme.CA(), tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with pytest.MonkeyPatch.context() as patch, misbehaving(context) as server:
        patch.setenv("AWS_CA_BUNDLE", str(bundle))
        with calling(server, "lean") as caller:
            yield caller


@pytest.mark.parametrize("behavior", BEHAVIORS, ids=str)
def test_the_outcome_is_that_of_boto3(lean: Caller, boto3: Caller, behavior: Behavior) -> None:
    if behavior.differs is None:
        assert lean.outcome(behavior) == boto3.outcome(behavior)
    else:
        assert lean.outcome(behavior) != boto3.outcome(behavior), f"it no longer differs: {behavior.differs}"


@pytest.mark.parametrize("behavior", [one for one in BEHAVIORS if one.reads == "head"], ids=str)
def test_an_early_response_is_read_over_tls_too(lean: Caller, lean_over_tls: Caller, behavior: Behavior) -> None:
    """boto3 reads it only without TLS: OpenSSL refuses to write, and http.client does not read then."""
    assert lean_over_tls.outcome(behavior) == lean.outcome(behavior)


def test_the_document_states_the_number() -> None:
    differing = sum(behavior.differs is not None for behavior in BEHAVIORS)
    text = " ".join(DOCUMENT.read_text().split())
    for said in (f"{len(BEHAVIORS)} behaviors of servers", f"in {differing} of them"):
        assert said in text, f"update docs/reliability.md: {said}"
