"""Endpoints, region and credentials: those of botocore, determined without it in a plain Lambda function.

To ask botocore takes longer than all else in a cold start. So a plain environment, one that holds nothing but what
Lambda puts there, is read directly; in any other, botocore is asked.
"""

import importlib.util
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sluice.aws.http.signature import Credentials, StaticCredentials

if TYPE_CHECKING:
    from sluice.aws.clients import Clients

# Regions of the partitions aws and aws-us-gov. Other partitions have other domains.
_REGION = re.compile(r"(af|ap|ca|eu|il|me|mx|sa|us|us-gov)-[a-z]+-\d")
# Bucket names that are one label of a host name, as the wildcard certificate *.s3.<region>.amazonaws.com requires.
_HOST_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{1,61})[a-z0-9]")
_NEEDED = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"}
# Other variables that Lambda defines ("Defined runtime environment variables"), that `_read` supports, or that botocore
# does not read.
_PLAIN = re.compile(
    r"AWS_(SESSION_TOKEN|REGION|EXECUTION_ENV|CA_BUNDLE|ENDPOINT_URL(_S3|_SAGEMAKER_RUNTIME)?|(LAMBDA|XRAY)_.*)"
)
# An endpoint on an IPv4 address, as in a local run. Only with these does botocore always put the bucket into the path.
_ADDRESS = re.compile(r"https?://\d+\.\d+\.\d+\.\d+(:\d+)?/?")


@dataclass(frozen=True, slots=True)
class AwsConfig:
    """The region, the credentials, the endpoints, and the file of root certificates.

    `s3_url` returns the URL of a bucket. Its path is empty or ends in the bucket's name.
    """

    region: str
    credentials: Callable[[], Credentials]
    sagemaker_url: str
    s3_url: Callable[[str], str]
    ca_bundle: str


def has_proxy(environment: Mapping[str, str]) -> bool:
    """Whether requests are to go through a proxy, as botocore sees it. The lean transport does not support proxies."""
    return any(value and name.lower() in {"http_proxy", "https_proxy"} for name, value in environment.items())


def is_plain(environment: Mapping[str, str]) -> bool:
    """Whether the environment is Lambda's own: no profile, no other endpoints, no configuration file."""
    return (
        environment.keys() >= _NEEDED
        and all(environment[name] for name in _NEEDED)
        and all(name in _NEEDED or _PLAIN.fullmatch(name) for name in environment if name.startswith("AWS_"))
        and _REGION.fullmatch(environment["AWS_DEFAULT_REGION"]) is not None
        and all(_ADDRESS.fullmatch(value) for name, value in environment.items() if name.startswith("AWS_ENDPOINT_URL"))
        and not Path("~/.aws").expanduser().exists()
    )


def aws_config(environment: Mapping[str, str], clients: "Clients") -> AwsConfig:
    """The configuration that botocore would use in `environment`."""
    return _read(environment) if is_plain(environment) else _asked(environment, clients)


def _read(environment: Mapping[str, str]) -> AwsConfig:
    region = environment["AWS_DEFAULT_REGION"]
    credentials = StaticCredentials(
        environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"], environment.get("AWS_SESSION_TOKEN")
    )

    def endpoint(service: str) -> str | None:
        stated = environment.get(f"AWS_ENDPOINT_URL_{service}") or environment.get("AWS_ENDPOINT_URL")
        return stated.rstrip("/") if stated else None

    s3_endpoint = endpoint("S3")

    def s3_url(bucket: str) -> str:
        if s3_endpoint:
            return f"{s3_endpoint}/{bucket}"
        # botocore uses the global host name for us-east-1.
        domain = "s3.amazonaws.com" if region == "us-east-1" else f"s3.{region}.amazonaws.com"
        return f"https://{bucket}.{domain}" if _HOST_LABEL.fullmatch(bucket) else f"https://{domain}/{bucket}"

    return AwsConfig(
        region=region,
        credentials=lambda: credentials,
        sagemaker_url=endpoint("SAGEMAKER_RUNTIME") or f"https://runtime.sagemaker.{region}.amazonaws.com",
        s3_url=s3_url,
        ca_bundle=_ca_bundle(environment, None),
    )


def _asked(environment: Mapping[str, str], clients: "Clients") -> AwsConfig:
    sagemaker, s3 = clients.sagemaker_runtime, clients.s3

    def s3_url(bucket: str) -> str:
        signed = s3.generate_presigned_url("head_object", Params={"Bucket": bucket, "Key": "-"})
        parts = urlsplit(signed)
        return f"{parts.scheme}://{parts.netloc}{parts.path.removesuffix('/-')}"

    def credentials() -> Credentials:
        found = clients.session.get_credentials()
        if found is None:
            from botocore.exceptions import NoCredentialsError  # noqa: PLC0415 - needed only here

            raise NoCredentialsError
        frozen: Any = found.get_frozen_credentials()
        return StaticCredentials(frozen.access_key, frozen.secret_key, frozen.token)

    configured = clients.session._session.get_config_variable("ca_bundle")
    return AwsConfig(
        region=sagemaker.meta.region_name,
        credentials=credentials,
        sagemaker_url=sagemaker.meta.endpoint_url,
        s3_url=s3_url,
        ca_bundle=_ca_bundle(environment, configured),
    )


def _ca_bundle(environment: Mapping[str, str], configured: str | None) -> str:
    """The certificate file that botocore uses: the configured file, else certifi's if installed, else botocore's."""
    stated = configured or environment.get("AWS_CA_BUNDLE") or environment.get("REQUESTS_CA_BUNDLE")
    if stated:
        return stated
    for package in ("certifi", "botocore"):
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.submodule_search_locations:
            return str(Path(spec.submodule_search_locations[0], "cacert.pem"))
    raise FileNotFoundError("botocore/cacert.pem")  # unreachable with botocore installed
