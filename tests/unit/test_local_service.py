"""`make up` while the local run is up."""

import fcntl
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.process import LocalRunError
from local.service import up

OWN = {"mine": "http://127.0.0.1:8080"}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Path]:
    """A directory whose local run is up with the container `mine`."""
    (tmp_path / "state.json").write_text(json.dumps({"pid": 0, "exports": {"A": "1"}, "containers": OWN}))
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield tmp_path


@pytest.mark.parametrize("containers", [{}, OWN])
def test_it_prints_the_exports_again(
    running: Path, containers: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert up(running, containers) == 0
    assert capsys.readouterr().out == "export A=1\n"


def test_other_containers_are_refused(running: Path) -> None:
    with pytest.raises(LocalRunError, match="already up with mine="):
        up(running, {"other": "http://127.0.0.1:8080"})
