"""`python -m local.chaos.container`: a model that returns a digest of its input, and rejects some inputs."""

import argparse
import hashlib

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

LINE = b"line "  # the prefix of a dataset's records
_REJECTED = {b"model-400": 400, b"model-500": 500}


def predict(body: bytes) -> bytes:
    """The model's result for `body`: its digest, as 32 arbitrary bytes."""
    return hashlib.sha256(body).digest()


def predict_line(line: str) -> str:
    """The model's result for a line of a dataset."""
    return hashlib.sha256(line.encode()).hexdigest()[:12]


async def _invocations(request: Request) -> Response:
    body = await request.body()
    for marker, status in _REJECTED.items():
        if body.startswith(marker):
            return PlainTextResponse(f"rejected as {marker.decode()}", status)
    if body.startswith(LINE):
        lines = body.decode().splitlines()
        if any(line.endswith("poison") for line in lines):
            return PlainTextResponse("a line is poisoned", 400)
        return PlainTextResponse("".join(f"{predict_line(line)}\n" for line in lines))
    given = request.headers.get("x-amzn-sagemaker-custom-attributes", "")
    headers = {"X-Amzn-SageMaker-Custom-Attributes": f"Trace ID: {given}"}
    return Response(predict(body), headers=headers, media_type="application/octet-stream")


async def _ping(_request: Request) -> Response:
    return Response()


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m local.chaos.container", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    routes = [Route("/ping", _ping), Route("/invocations", _invocations, methods=["POST"])]
    port = parser.parse_args().port
    uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=port, access_log=False, log_level="critical")


if __name__ == "__main__":
    main()
