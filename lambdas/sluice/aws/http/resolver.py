"""The addresses of a host, looked up in a thread and cached briefly."""

import socket
from collections.abc import Callable
from typing import Any

from sluice.aws.loop import Loop
from sluice.concurrency import Future, now

_KEPT_SECONDS = 30  # about the duration of a batch; the TTL of AWS's DNS records is 5 to 60 s

Address = tuple[int, int, int, str, Any]  # as socket.getaddrinfo returns them
GetAddresses = Callable[..., list[Any]]


class Resolver:
    """The addresses of `host`. `getaddrinfo` has the signature and the errors of `socket.getaddrinfo`."""

    def __init__(self, loop: Loop, host: str, port: int, getaddrinfo: GetAddresses = socket.getaddrinfo) -> None:
        self._loop = loop
        self._host = host
        self._port = port
        self._getaddrinfo = getaddrinfo
        self._lookup: Future[list[Address]] | None = None
        self._looked_up_at = 0.0
        self._turn = -1

    async def addresses(self) -> list[Address]:
        """Return all addresses. Each call starts with the next address. Concurrent calls share one lookup.

        Raises `OSError`.
        """
        lookup = self._lookup
        if lookup is None or (lookup.done and not self._is_good(lookup)):
            lookup = self._lookup = self._look_up()
            self._looked_up_at = now()
        found = await lookup
        self._turn += 1
        first = self._turn % len(found)
        return found[first:] + found[:first]

    def forget(self) -> None:
        """Look the addresses up again next time, because none of them worked."""
        if self._lookup is not None and self._lookup.done:
            self._lookup = None

    def _is_good(self, lookup: Future[list[Address]]) -> bool:
        return lookup.error is None and now() - self._looked_up_at < _KEPT_SECONDS

    def _look_up(self) -> Future[list[Address]]:
        try:
            numeric = self._getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
            )
        except socket.gaierror:  # a name, not an address
            return self._loop.submit(lambda: self._getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM))
        found: Future[list[Address]] = Future()
        found.set_result(numeric)
        return found
