"""The local run listens only on the loopback interface. `test_commands` tests that it calls no real account."""

import os
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Pipeline
from tests.support import isolated

LISTENING = "0A"  # /proc/net/tcp
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


def family(pid: int) -> set[int]:
    """A process and its descendants."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {pid}
    while grown := {child for child, parent in parents.items() if parent in found} - found:
        found |= grown
    return found


def sockets(pids: set[int]) -> set[str]:
    inodes = set()
    for pid in pids:
        for fd in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                target = str(fd.readlink())
            except OSError:
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    return inodes


def test_it_listens_only_on_the_loopback_interface(pipeline: Pipeline) -> None:
    ours = sockets(family(os.getpid()))
    listening = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and fields[9] in ours:
                listening.add(fields[1].partition(":")[0])
    assert listening, "nothing listens at all"
    assert listening <= LOOPBACK


@pytest.mark.skipif(not isolated.possible(), reason="needs root and iproute2, to look at a network of its own")
def test_packets_that_would_leave_are_recorded() -> None:
    program = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'', ('192.0.2.7', 53))"
    assert isolated.run([sys.executable, "-c", program], os.environ).left_for == ["192.0.2.7"]
