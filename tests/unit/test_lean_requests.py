"""The lean transport sends what botocore would send: URL, headers, signature, body. Both requests are intercepted."""

import base64
import datetime
import string
import zlib
from collections.abc import Callable, Coroutine, Mapping
from functools import cache
from typing import Any, cast
from urllib.parse import urlsplit

import botocore.session
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice.aws.http.aws_config import aws_config, is_plain
from sluice.aws.http.connection import Connection
from sluice.aws.http.connector import Connector
from sluice.aws.http.pool import ConnectionPool
from sluice.aws.http.protocol import Response, ResponseParser
from sluice.aws.http.s3 import LeanS3
from sluice.aws.http.s3_calls import S3Requests
from sluice.aws.http.sagemaker import ELEMENTS, PARAMETERS, LeanSageMakerRuntime
from sluice.aws.http.signature import Signer, StaticCredentials
from tests.support.virtual_time import run

NOW = datetime.datetime(2026, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)
LAMBDA = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG",
    "AWS_SESSION_TOKEN": "token//with+signs==",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_REGION": "eu-west-1",
    "AWS_LAMBDA_FUNCTION_NAME": "invoke",
    "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
    "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
    "PATH": "/bin",
}
# Headers that identify the client and attempt, or request a 100 Continue; they don't change the request.
OF_THE_CLIENT = {"user-agent", "expect", "amz-sdk-invocation-id", "amz-sdk-request", "content-length"}

header_values = st.text(string.ascii_letters + string.digits + string.punctuation + " ", min_size=1).filter(
    lambda text: text == text.strip()
)
keys = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60)
metadata_names = st.from_regex(r"[a-z][a-z0-9-]{0,10}", fullmatch=True)
buckets = st.from_regex(
    r"[a-z0-9]([a-z0-9-]{0,20}|[a-z0-9-]{0,8}\.[a-z][a-z0-9-]{0,8})[a-z0-9]", fullmatch=True
).filter(lambda name: len(name) >= 3 and ".-" not in name and "-." not in name)
regions = st.sampled_from(["eu-west-1", "us-east-1", "us-gov-west-1", "ap-southeast-2", "mx-central-1"])

Caught = tuple[str, str, dict[str, str], bytes]


@pytest.fixture(autouse=True)
def _at_one_instant(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda **_: NOW.replace(tzinfo=None))


@cache
def botocore_client(service: str, region: str) -> Any:
    session = botocore.session.Session()
    session.set_credentials(LAMBDA["AWS_ACCESS_KEY_ID"], LAMBDA["AWS_SECRET_ACCESS_KEY"], LAMBDA["AWS_SESSION_TOKEN"])
    return session.create_client(service, region_name=region)


def sent_by_botocore(service: str, region: str, call: Callable[[Any], Any]) -> Caught:
    client = botocore_client(service, region)
    caught: list[Any] = []

    def catch(request: Any, **_: Any) -> AWSResponse:
        caught.append(request)
        return AWSResponse(request.url, 200, HTTPHeaders(), _Empty())

    client.meta.events.register_first("before-send", catch)
    try:
        call(client)
    finally:
        client.meta.events.unregister("before-send", catch)
    request = caught[0]
    text = {name: v.decode() if isinstance(v, bytes) else str(v) for name, v in request.headers.items()}
    return _caught(request.method, request.url, text, request.body or b"")


class _Empty:
    def stream(self, **_: Any) -> Any:
        return iter(())

    def read(self, *_: Any) -> bytes:
        return b""


def _caught(method: str, url: str, headers: Mapping[str, str], body: Any) -> Caught:
    # A header's value is signed with its white space folded, so both forms are valid.
    kept = {k.lower(): v for k, v in headers.items() if k.lower() not in OF_THE_CLIENT}
    kept.setdefault("host", urlsplit(url).netloc)  # botocore leaves it to urllib3
    return method, url, kept, body if isinstance(body, bytes) else body.read()


class _CatchingConnection(Connection):
    """Keeps the request instead of sending it."""

    def __init__(self, url: str, caught: list[Caught]) -> None:
        self.may_go_on = False
        self._url = url
        self._caught = caught

    async def exchange(self, head: bytes, body: bytes, parser: ResponseParser, admit: object = None) -> Response:
        first, *lines, end, rest = head.decode("latin-1").split("\r\n")
        assert (end, rest) == ("", "")
        method, path, version = first.split(" ")
        assert version == "HTTP/1.1"
        headers = dict(line.split(": ", 1) for line in lines)
        assert len(headers) == len(lines), "no header is sent twice"
        assert headers.get("content-length", "0") == str(len(body))
        self._caught.append(_caught(method, self._url + path, headers, body))
        return Response(200, {"etag": '"0"'}, b"")

    def session(self) -> None:
        pass

    def close(self) -> None:
        pass


class _CatchingConnector(Connector):
    """Catches the requests on its connections, for which it opens no socket."""

    def __init__(self, url: str, caught: list[Caught]) -> None:
        nothing = cast("Any", None)
        super().__init__(nothing, url, nothing, connect_timeout_seconds=1, resolver=nothing)
        self._caught = caught

    async def connect(self) -> Connection:
        return _CatchingConnection(self.url, self._caught)


def _catching(url: str, caught: list[Caught]) -> ConnectionPool:
    return ConnectionPool(_CatchingConnector(url, caught))


def never() -> Any:
    raise AssertionError("boto3 is not to be asked")


def sent_by_lean(service: str, region: str, call: Callable[[Any], Coroutine[Any, Any, Any]]) -> Caught:
    caught: list[Caught] = []
    found = aws_config({**LAMBDA, "AWS_DEFAULT_REGION": region}, never)  # type: ignore[arg-type]
    signer = Signer(service, found.region, found.credentials, NOW.timestamp)
    no_loop = cast("Any", None)  # it is for boto3's calls
    client: LeanS3 | LeanSageMakerRuntime
    if service == "s3":
        requests = S3Requests(found.s3_url, signer, 1)
        client = LeanS3(no_loop, lambda url: _catching(url, caught), requests, never, call_seconds=1, max_bytes=1)
    else:
        client = LeanSageMakerRuntime(no_loop, _catching(found.sagemaker_url, caught), signer, never, call_seconds=1)
    run(call(client))
    return caught[0]


@given(
    region=regions,
    name=st.from_regex(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,20}", fullmatch=True),
    body=st.binary(max_size=300),
    parameters=st.fixed_dictionaries({}, optional=dict.fromkeys(PARAMETERS, header_values)),
)
def test_invoke_endpoint_is_sent_as_botocore_sends_it(
    region: str, name: str, body: bytes, parameters: dict[str, str]
) -> None:
    parameters = {k: v[:60] if k != "TargetVariant" else "v" for k, v in parameters.items()}
    parameters = {k: v.strip() for k, v in parameters.items()}

    def call(client: Any) -> Any:
        return client.invoke_endpoint(EndpointName=name, Body=body, **parameters)

    service = "sagemaker"
    assert sent_by_lean(service, region, call) == sent_by_botocore("sagemaker-runtime", region, call)


@given(
    region=regions,
    bucket=buckets,
    key=keys,
    body=st.binary(max_size=300),
    arguments=st.fixed_dictionaries(
        {"Metadata": st.dictionaries(metadata_names, header_values, max_size=4)},
        optional={"IfNoneMatch": st.just("*"), "IfMatch": st.just('"0123"'), "ContentType": header_values},
    ),
)
def test_put_object_is_sent_as_botocore_sends_it(
    region: str, bucket: str, key: str, body: bytes, arguments: dict[str, Any]
) -> None:
    arguments["ChecksumCRC32"] = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()

    def call(client: Any) -> Any:
        return client.put_object(Bucket=bucket, Key=key, Body=body, **arguments)

    assert sent_by_lean("s3", region, call) == sent_by_botocore("s3", region, call)


@given(region=regions, bucket=buckets, key=keys, operation=st.sampled_from(["head_object", "get_object"]))
def test_objects_are_read_as_botocore_reads_them(region: str, bucket: str, key: str, operation: str) -> None:
    def call(client: Any) -> Any:
        return getattr(client, operation)(Bucket=bucket, Key=key)

    assert sent_by_lean("s3", region, call) == sent_by_botocore("s3", region, call)


def test_in_lambda_the_trace_header_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "invoke")
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=é;Sampled=1")

    def call(client: Any) -> Any:
        return client.invoke_endpoint(EndpointName="wine", Body=b"1")

    lean = sent_by_lean("sagemaker", "eu-west-1", call)
    assert "Root=1-5759e988" in lean[2]["x-amzn-trace-id"]
    assert lean == sent_by_botocore("sagemaker-runtime", "eu-west-1", call)


def test_credentials_without_a_session_token() -> None:
    signer = Signer("sagemaker", "eu-west-1", lambda: StaticCredentials("id", "secret", None), NOW.timestamp)
    assert "x-amz-security-token" not in signer.sign("POST", "host", "/", {}, b"")


def test_headers_and_elements_are_the_service_models() -> None:
    model = botocore_client("sagemaker-runtime", "eu-west-1").meta.service_model.operation_model("InvokeEndpoint")

    def headers(shape: Any) -> dict[str, str]:
        return {
            name: member.serialization["name"].lower()
            for name, member in shape.members.items()
            if member.serialization.get("location") == "header"
        }

    assert headers(model.input_shape) == PARAMETERS
    assert headers(model.output_shape) == {element: header for header, element in ELEMENTS.items()}


def _every_region() -> list[str]:
    session = botocore.session.Session()
    partitions = session.get_available_partitions()
    listed = {r for p in partitions for s in ("s3", "sagemaker-runtime") for r in session.get_available_regions(s, p)}
    return sorted(listed)


@pytest.mark.parametrize("region", _every_region())
def test_each_regions_endpoint_is_botocores_or_left_to_botocore(region: str) -> None:
    environment = {**LAMBDA, "AWS_DEFAULT_REGION": region}
    if not is_plain(environment):
        assert region.startswith(("cn-", "us-iso", "eu-isoe", "eusc-")) or "-iso" in region
        return
    found = aws_config(environment, never)  # type: ignore[arg-type]
    assert found.sagemaker_url == botocore_client("sagemaker-runtime", region).meta.endpoint_url
    for bucket in ("my-bucket", "my.bucket"):
        url = sent_by_botocore("s3", region, lambda s3, b=bucket: s3.head_object(Bucket=b, Key="k"))[1]  # type: ignore[misc]
        assert url == f"{found.s3_url(bucket)}/k"


@pytest.mark.parametrize(
    "name",
    [
        "AWS_PROFILE",
        "AWS_ENDPOINT_URL_SQS",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
        "AWS_USE_FIPS_ENDPOINT",
        "AWS_USE_DUALSTACK_ENDPOINT",
        "AWS_CONFIG_FILE",
        "AWS_SECURITY_TOKEN",
        "AWS_CREDENTIAL_EXPIRATION",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT",
        "AWS_SOMETHING_NEW",
    ],
)
def test_what_lambda_does_not_set_is_left_to_botocore(name: str) -> None:
    assert is_plain(LAMBDA)
    assert not is_plain({**LAMBDA, name: "x"})


@pytest.mark.parametrize(
    "url", ["http://localhost:4566", "https://vpce-1.s3.eu-west-1.vpce.amazonaws.com", "http://127.0.0.1/path", "x", ""]
)
def test_endpoints_that_are_no_ip_addresses_are_left_to_botocore(url: str) -> None:
    assert not is_plain({**LAMBDA, "AWS_ENDPOINT_URL_S3": url})


@given(
    urls=st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"],
            st.sampled_from(["http://127.0.0.1:4566", "https://127.0.0.1", "http://10.0.0.1:80/", "https://1.2.3.4:9"]),
        ),
    ),
    bucket=buckets,
)
@settings(max_examples=20)
def test_endpoints_on_ip_addresses_are_handled_like_botocore(urls: dict[str, str], bucket: str) -> None:
    environment = {**LAMBDA, **urls}
    assert is_plain(environment)
    found = aws_config(environment, never)  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in urls.items():
            patch.setenv(name, value)
        botocore_client.cache_clear()
        runtime = sent_by_botocore(
            "sagemaker-runtime", "eu-west-1", lambda sm: sm.invoke_endpoint(EndpointName="e", Body=b"")
        )
        head = sent_by_botocore("s3", "eu-west-1", lambda s3: s3.head_object(Bucket=bucket, Key="k"))
        botocore_client.cache_clear()
    assert f"{found.sagemaker_url}/endpoints/e/invocations" == runtime[1]
    assert f"{found.s3_url(bucket)}/k" == head[1]


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"])
def test_variables_that_lambda_sets_are_required(name: str) -> None:
    assert not is_plain({**LAMBDA, name: ""})
    assert not is_plain({key: value for key, value in LAMBDA.items() if key != name})


def test_a_configuration_file_is_left_to_botocore(tmp_path: Any) -> None:
    (tmp_path / ".aws").mkdir()
    assert not is_plain(LAMBDA)
