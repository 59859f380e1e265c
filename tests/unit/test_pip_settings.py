"""`make setup` installs with uv from where pip is set up to install from."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from local.pip_settings import options, variables

SCRIPT = Path(__file__).parents[2] / "local" / "pip_settings.py"


def exports(configuration: Path, **environment: str) -> dict[str, str]:
    """The variables that the script prints with this configuration of pip."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "SSL_"))}
    printed = subprocess.run(
        [sys.executable, str(SCRIPT)],
        env={**inherited, "PIP_CONFIG_FILE": str(configuration), **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    words = [shlex.split(line) for line in printed.splitlines()]
    assert all(export == "export" for export, _ in words)
    return dict(assignment.split("=", 1) for _, assignment in words)


def test_the_indexes_of_a_file_and_of_the_environment(tmp_path: Path) -> None:
    configuration = tmp_path / "pip.conf"
    configuration.write_text(
        "[global]\nindex-url = https://index.example/simple\nextra-index-url =\n  https://a.example\n  https://b.example\n"
        "[install]\ntrusted-host = index.example\n"
    )
    found = exports(configuration, PIP_FIND_LINKS="/some/wheels /other wheels")
    assert found["UV_DEFAULT_INDEX"] == "https://index.example/simple"
    assert found["UV_INDEX"] == "https://a.example https://b.example"
    assert found["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert found["UV_INSECURE_HOST"] == "index.example"
    assert found["UV_FIND_LINKS"] == "/some/wheels,/other,wheels"


def test_the_environment_goes_before_the_command_and_the_command_before_all() -> None:
    listing = "global.index-url='g'\ninstall.index-url='i'\nglobal.proxy='p'\nfreeze.index-url='f'\n"
    assert options(listing) == {"index-url": "i", "proxy": "p"}
    assert options(":env:.index-url='e'\n" + listing)["index-url"] == "e"


def test_what_is_set_for_uv_stays() -> None:
    own = {"UV_DEFAULT_INDEX": "https://own.example", "UV_SYSTEM_CERTS": "false"}
    assert dict(variables({"index-url": "https://pip.example"}, own)) == {}
