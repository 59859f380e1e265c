"""What the `sluice` script runs: the command, whose modules take half a second to load."""

import sys


def run() -> None:
    """Run the command. Ctrl-C while it loads is one line, too."""
    try:
        from cli.main import main  # noqa: PLC0415 - this is the part that takes its time
    except KeyboardInterrupt:
        sys.stderr.write("Error: interrupted\n")
        sys.exit(130)
    main()
