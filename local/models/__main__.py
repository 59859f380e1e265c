"""`python -m local.models wine --port 8081`: a sample model's container on 127.0.0.1."""

import argparse

import uvicorn

from local.models.chat import Chat
from local.models.contract import Model, create_app
from local.models.digits import Digits
from local.models.wine import Wine

MODELS: dict[str, type[Model]] = {"wine": Wine, "digits": Digits, "chat": Chat}


def main() -> None:
    """Train the model, then serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m local.models", description=__doc__)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    app = create_app(MODELS[given.model]())
    uvicorn.run(app, host="127.0.0.1", port=given.port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
