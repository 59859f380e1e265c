"""A short chaos run; `make chaos` is the long one."""

import subprocess
import sys
from pathlib import Path

from tests.e2e.conftest import ROOT


def test_the_guarantee_holds_in_a_short_chaos_run(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "local.chaos", "--requests", "120", "--seeds", "7", "--directory", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0  violations of the guarantee" in done.stdout
