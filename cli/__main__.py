"""Entry point of the `sluice` script and of `python -m cli`."""

import sys


def run() -> None:
    """Run the command. Ctrl-C is reported in one line, also while the modules are loaded."""
    try:
        from cli.main import main  # noqa: PLC0415 - this import takes about half a second
    except KeyboardInterrupt:
        sys.stderr.write("Error: interrupted\n")
        sys.exit(130)
    main(prog_name="sluice")


if __name__ == "__main__":
    run()
