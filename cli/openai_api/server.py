"""Runs the API of a deployment on a socket."""

import socket
from collections.abc import Callable

import uvicorn

from cli.deployment import Deployment
from cli.openai_api.app import create_app
from cli.openai_api.batches import Batches
from cli.openai_api.files import Files
from cli.openai_api.results import Results
from cli.openai_api.status import Statuses
from cli.openai_api.store import Store

_GRACE_SECONDS = 5


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on `host` and `port`; 0 is any free port. Raises `OSError`."""
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


def serve(
    deployment: Deployment,
    listening: socket.socket,
    *,
    endpoint_name: str | None,
    api_key: str | None,
    on_ready: Callable[[], object],
) -> None:
    """Serve until SIGINT or SIGTERM."""
    inputs, results = (
        Store(deployment.s3, deployment.input_bucket),
        Results(Store(deployment.s3, deployment.results_bucket)),
    )
    files = Files(inputs, results)
    settings = deployment.settings_if_allowed
    batches = Batches(
        inputs,
        files,
        Statuses(results),
        endpoint_name=endpoint_name,
        endpoint_names=settings.endpoint_names if settings else (),
        default_endpoint_name=settings.default_endpoint_name if settings else None,
    )
    config = uvicorn.Config(
        create_app(files, batches, api_key),
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    on_ready()
    uvicorn.Server(config).run(sockets=[listening])
