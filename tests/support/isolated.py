"""Runs a command in a separate network namespace, and records the packets that would leave the machine: see `run`."""

import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_ROUTER = "10.255.255.2"
_PREPARE = (
    "ip link set lo up",
    "ip link add inside type veth peer name outside",
    "ip link set inside addrgenmode none",
    "ip link set outside addrgenmode none",
    "ip addr add 10.255.255.1/24 dev inside",
    "ip link set inside up",
    "ip link set outside up",
    f"ip neigh add {_ROUTER} lladdr 02:00:00:00:00:02 dev inside nud permanent",
    f"ip route add default via {_ROUTER}",
)
_ETH_P_ALL = 0x0003
_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Done:
    """The command's exit code and output, and the destinations of packets that it sent."""

    returncode: int
    output: str
    left_for: list[str]


def possible() -> bool:
    """Whether this user can create a network namespace, and has the `ip` command."""
    return os.geteuid() == 0 and shutil.which("ip") is not None and run(["true"], os.environ).returncode == 0


def run(command: Sequence[str], environment: Mapping[str, str]) -> Done:
    """Run `command` in a network where a router that only records packets is the route to all other addresses."""
    done = subprocess.run(
        [sys.executable, __file__, *command], env=dict(environment), capture_output=True, text=True, check=False
    )
    if done.returncode:
        return Done(done.returncode, done.stderr, [])
    return Done(**json.loads(done.stdout))


def _main(command: Sequence[str]) -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    for line in _PREPARE:
        subprocess.run(line.split(), check=True)
    router = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    router.bind(("outside", 0))
    router.setblocking(False)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    left_for = []
    while True:
        try:
            packet, (_, _, kind, *_) = router.recvfrom(65535)
        except BlockingIOError:
            break
        if kind != socket.PACKET_OUTGOING:
            left_for.append(socket.inet_ntoa(packet[30:34]) if packet[12:14] == b"\x08\x00" else packet[12:14].hex())
    print(json.dumps({"returncode": done.returncode, "output": done.stdout, "left_for": left_for}))


if __name__ == "__main__":
    _main(sys.argv[1:])
