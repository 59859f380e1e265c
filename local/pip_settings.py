"""Prints pip's settings as uv's environment variables, in shell syntax: `make setup` installs from where pip would.

    eval "$(python local/pip_settings.py)"

uv does not read pip's configuration. A variable that is set already is not printed: it is the user's own setting of uv.
Warnings of pip, such as that of an index that is not there, are left out.
"""

import ast
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping

# pip's options, the variables of uv, and what separates their values (uv reference, environment variables).
_VARIABLES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "no-index": ("UV_NO_INDEX", " "),
    "constraint": ("UV_CONSTRAINT", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "proxy": ("ALL_PROXY", " "),
}
_SCOPES = (":env:", "install", "global")  # the first one that has an option decides (pip documentation, precedence)


def options(listing: str) -> dict[str, str]:
    """The options in what `pip config list` prints: `scope.option='value'`, one to a line."""
    found: dict[tuple[str, str], str] = {}
    for line in listing.splitlines():
        name, _, value = line.partition("=")
        scope, _, option = name.rpartition(".")
        found[scope.removesuffix("."), option] = str(ast.literal_eval(value))
    return {
        option: next(found[scope, option] for scope in _SCOPES if (scope, option) in found)
        for option in {option for scope, option in found if scope in _SCOPES}
    }


def variables(pip: Mapping[str, str], environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The variables for uv that `environment` does not have. `pip` are pip's options."""
    for option, (variable, separator) in _VARIABLES.items():
        if option in pip and variable not in environment:
            yield variable, separator.join(pip[option].split())
    if "extra-index-url" in pip and "UV_INDEX_STRATEGY" not in environment:
        yield "UV_INDEX_STRATEGY", "unsafe-best-match"  # as pip does: the best version of all indexes
    if "UV_SYSTEM_CERTS" not in environment:
        yield "UV_SYSTEM_CERTS", "true"  # as pip does: the certificates of the system


def main() -> None:
    """Print the variables."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    for variable, value in variables(options(listing), os.environ):
        sys.stdout.write(f"export {variable}={shlex.quote(value)}\n")


if __name__ == "__main__":
    main()
