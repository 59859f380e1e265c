"""`python -m local.endpoint --port 8080 --endpoint wine=http://127.0.0.1:8081`: the endpoint on 127.0.0.1."""

import argparse
import logging
from pathlib import Path

import uvicorn
from pydantic import ValidationError

from local.endpoint.api import MAX_BODY_BYTES
from local.endpoint.app import Config, create_app
from local.endpoint.authorization import Authorizer
from local.endpoint.faults import Plan
from local.process import container

_GRACE_SECONDS = 3  # for calls in flight at SIGTERM; a hanging call would block the shutdown forever


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m local.endpoint", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--endpoint", type=container, action="append", required=True, metavar="NAME=URL")
    parser.add_argument("--account", default="000000000000")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--max-body-bytes", type=int, default=MAX_BODY_BYTES)
    parser.add_argument("--container-timeout", type=float, default=60, metavar="SECONDS")
    parser.add_argument("--faults", type=Path, metavar="FILE", help="a JSON file with a fault plan")
    parser.add_argument("--authorizer", metavar="URL", help="a local AWS that authorizes calls")
    parser.add_argument(
        "--authority", type=Path, metavar="FILE", help="the PEM file of the authorizer's certificate authority"
    )
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    try:
        plan = Plan.model_validate_json(given.faults.read_bytes()) if given.faults else Plan()
    except (OSError, ValidationError) as error:
        parser.error(f"--faults: {error}")
    config = Config(
        endpoints=dict(given.endpoint),
        account=given.account,
        region=given.region,
        max_body_bytes=given.max_body_bytes,
        container_timeout_seconds=given.container_timeout,
        plan=plan,
        authorizer=Authorizer(given.authorizer, given.authority) if given.authorizer else None,
    )
    uvicorn.run(
        create_app(config),
        host="127.0.0.1",
        port=given.port,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


if __name__ == "__main__":
    main()
