"""tests/data/service_errors.jsonl: error responses of AWS as they are on the wire, each with its source and its class.

Where the source has only the code and the message, they are in the form of the service's protocol. Account IDs, request
IDs and names are replaced.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from botocore.awsrequest import AWSResponse, HeadersDict

from sluice.failures import Operation

_FILE = Path(__file__).parent.parent / "data" / "service_errors.jsonl"


@dataclass(frozen=True)
class ServiceErrorRow:
    """One response. `failure_class` and `code` are what the failure table makes of it.

    When it is `bounded`, the message gets the deployment's number of attempts.
    """

    service: str
    operation: Operation
    method: str
    status: int
    headers: dict[str, str]
    body: bytes
    failure_class: str
    code: str
    bounded: bool
    source: str

    def __str__(self) -> str:
        """The name of the row in a test's ID."""
        return f"{self.service}-{self.operation.name}-{self.code}-{self.status}"

    @property
    def for_botocore(self) -> AWSResponse:
        """The response as botocore's HTTP session returns it."""
        body = b"" if self.method == "HEAD" else self.body
        headers: Any = HeadersDict(self.headers)
        return AWSResponse("https://aws/", self.status, headers, _RawBody(body))

    @property
    def on_the_wire(self) -> bytes:
        """The whole response."""
        try:
            phrase = HTTPStatus(self.status).phrase
        except ValueError:  # 530 is SageMaker's own
            phrase = ""
        lines = [f"HTTP/1.1 {self.status} {phrase}", *(f"{name}: {value}" for name, value in self.headers.items())]
        head = "\r\n".join([*lines, f"content-length: {len(self.body)}", "", ""]).encode("latin-1")
        return head if self.method == "HEAD" else head + self.body


class _RawBody:
    """The stream of a response, as botocore reads it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Iterator[bytes]:
        """The whole body."""
        yield self._body


def _row(raw: dict[str, Any]) -> ServiceErrorRow:
    return ServiceErrorRow(
        service=raw["service"],
        operation=Operation[raw["operation"]],
        method=raw.get("method", "POST"),
        status=raw["status"],
        headers=raw["headers"],
        body=raw["body"].encode(),
        failure_class=raw["class"],
        code=raw["code"],
        bounded=raw.get("bounded", False),
        source=raw["source"],
    )


ROWS = [_row(json.loads(line)) for line in _FILE.read_text().splitlines()]
