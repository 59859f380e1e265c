"""`python -m local demo|up|serve|down`: what `make demo`, `make up` and `make down` call."""

import os
import signal
import sys
from pathlib import Path

from local.process import LocalRunError

# Where logs, state and results lie. A second local run of one checkout needs another place.
DIRECTORY = Path(os.environ.get("SLUICE_LOCAL_DIRECTORY", Path(__file__).parent.parent / ".local"))


def main() -> int:
    """Run the command, and return its exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    command = sys.argv[1] if len(sys.argv) == 2 else ""
    try:
        if command == "demo":
            from local.demo.run import run  # noqa: PLC0415 - `down` needs none of it

            return run(DIRECTORY / "demo")
        if command in {"up", "serve", "down"}:
            from local import service  # noqa: PLC0415 - as above

            return {"up": service.up, "serve": service.serve, "down": service.down}[command](DIRECTORY / "up")
    except LocalRunError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)  # noqa: T201
        return 130
    print("usage: python -m local demo|up|down", file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    sys.exit(main())
