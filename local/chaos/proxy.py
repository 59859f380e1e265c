"""`python -m local.chaos.proxy`: a proxy in front of the local AWS that makes S3 and SQS calls fail.

Some calls are rejected with 500, 503 or SlowDown, and conditional writes with 409. Some are dropped before they reach
AWS, and for some the response is lost after the call has taken effect.
"""

import argparse
import json
import random
from pathlib import Path

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from local.endpoint.broken import Cut

_METHODS = ["GET", "HEAD", "PUT", "POST", "DELETE"]
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}
_ERRORS = (
    (500, "InternalError", "We encountered an internal error. Please try again."),
    (503, "ServiceUnavailable", "Please reduce your request rate."),
    (503, "SlowDown", "Please reduce your request rate."),
)
_CONDITIONS = {"if-match", "if-none-match"}
_CONFLICT = (
    409,
    "ConditionalRequestConflict",
    "The conditional request cannot succeed due to a conflicting operation against this resource.",
)


def create_app(upstream: str, share: float, seed: int, lost: Path) -> Starlette:
    """A proxy for `upstream` that makes `share` of the calls fail.

    The bodies of messages that were sent although the sender got an error are written to the file `lost`.
    """
    client = httpx2.AsyncClient(trust_env=False, timeout=30)
    dice = random.Random(seed)  # noqa: S311 - reproducible faults, not secrets

    async def forward(request: Request) -> Response:
        if request.url.path == "/_health":
            return PlainTextResponse("ok")
        fate = dice.random() / share if share else 1.0
        body = await request.body()
        if fate < 0.5:
            is_conditional = request.method in {"PUT", "DELETE"} and _CONDITIONS & set(request.headers)
            status, code, message = dice.choice((*_ERRORS, _CONFLICT) if is_conditional else _ERRORS)
            document = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
            return Response(document, status, media_type="application/xml")
        cut = Response(status_code=500) if request.method == "HEAD" else Cut()  # a response to HEAD has no body to cut
        if fate < 0.75:
            return cut
        url = f"{upstream}{request.scope['raw_path'].decode()}"
        answer = await client.request(
            request.method,
            f"{url}?{request.url.query}" if request.url.query else url,
            headers=[(name, value) for name, value in request.headers.items() if name != "content-length"],
            content=body,
        )
        if fate < 1:
            if request.headers.get("x-amz-target") == "AmazonSQS.SendMessage":
                with lost.open("a") as journal:
                    journal.write(json.dumps(json.loads(body)["MessageBody"]) + "\n")
            return cut
        response = Response(answer.content, answer.status_code)
        for name, value in answer.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                response.headers[name] = value
        if request.method == "HEAD":
            response.headers["content-length"] = answer.headers.get("content-length", "0")
        return response

    return Starlette(routes=[Route("/{path:path}", forward, methods=_METHODS)])


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m local.chaos.proxy", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--share", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--lost", type=Path, required=True)
    given = parser.parse_args()
    app = create_app(given.upstream, given.share, given.seed, given.lost)
    uvicorn.run(app, host="127.0.0.1", port=given.port, access_log=False, log_level="critical")


if __name__ == "__main__":
    main()
