"""AWS Signature Version 4, as in `botocore.auth`, for requests without a query whose path is already encoded."""

import hmac
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple, Protocol

_ALGORITHM = "AWS4-HMAC-SHA256"
_NO_BODY = sha256(b"").hexdigest()
# Intermediaries may change these headers (botocore.auth.SIGNED_HEADERS_BLACKLIST).
_UNSIGNED = {"expect", "transfer-encoding", "user-agent", "x-amzn-trace-id"}


class Credentials(Protocol):
    """The credentials of a signature. botocore's `ReadOnlyCredentials` implement this protocol."""

    @property
    def access_key(self) -> str:
        """The access key ID."""

    @property
    def secret_key(self) -> str:
        """The secret access key."""

    @property
    def token(self) -> str | None:
        """The session token, or None for long-term credentials."""


class StaticCredentials(NamedTuple):
    """Credentials that do not change during the lifetime of the process."""

    access_key: str
    secret_key: str
    token: str | None


class Signer:
    """Signs requests to one service in one region.

    `credentials` is called for each request, as credentials may be renewed. `clock` returns seconds since the epoch.
    """

    def __init__(
        self,
        service: str,
        region: str,
        credentials: Callable[[], Credentials],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._service = service
        self._region = region
        self._credentials = credentials
        self._clock = clock

    def sign(self, method: str, host: str, path: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        """Return `headers` and the headers that SigV4 adds. `path` is percent-encoded, as in the request line."""
        credentials = self._credentials()
        seconds = int(self._clock())
        now = _timestamp(seconds)
        payload = sha256(body).hexdigest() if body else _NO_BODY
        signed = {**headers, "host": host, "x-amz-date": now}
        if credentials.token:
            signed["x-amz-security-token"] = credentials.token
        if self._service == "s3":
            signed["x-amz-content-sha256"] = payload
        # Without a body, as in HeadObject, only the path and the second differ from request to request.
        lines, names = (_canonical if body else _constant)(tuple(signed.items()))
        canonical = f"{method}\n{path}\n\n{lines}\n{names}\n{payload}"
        scope = f"{now[:8]}/{self._region}/{self._service}/aws4_request"
        to_sign = f"{_ALGORITHM}\n{now}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        key = _key(credentials.secret_key, now[:8], self._region, self._service)
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        signed["authorization"] = (
            f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return signed


@lru_cache(maxsize=2)
def _timestamp(seconds: int) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))


def _canonical(headers: tuple[tuple[str, str], ...]) -> tuple[str, str]:
    """CanonicalHeaders and SignedHeaders."""
    values = dict(headers)
    order, names = _order(tuple(values))
    return "".join([f"{name.lower()}:{' '.join(values[name].split())}\n" for name in order]), names


_constant = lru_cache(maxsize=16)(_canonical)


@lru_cache(maxsize=64)
def _order(names: tuple[str, ...]) -> tuple[list[str], str]:
    """The names of the headers to sign, in order, and SignedHeaders. They are cached: few sets of names occur."""
    order = sorted((name for name in names if name.lower() not in _UNSIGNED), key=str.lower)
    return order, ";".join([name.lower() for name in order])


@lru_cache(maxsize=8)
def _key(secret_key: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
