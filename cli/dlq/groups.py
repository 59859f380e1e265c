"""Dead letters by reason: ErrorCode and endpoint, how many, from when to when, and one of them as an example."""

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cli.dlq.letter import Letter

COLUMNS = ("ErrorCode", "EndpointName", "Count", "Oldest", "Newest", "Example")

_BRIEF = 100  # characters


@dataclass(slots=True)
class Group:
    """Letters of one reason and endpoint. `oldest` and `newest` are when they failed."""

    oldest: datetime
    newest: datetime
    example: str
    count: int = 0

    def add(self, letter: Letter) -> None:
        """Count `letter`."""
        self.count += 1
        self.oldest = min(self.oldest, letter.failed_at)
        self.newest = max(self.newest, letter.failed_at)


class Groups:
    """Groups of letters, in little memory: the letters themselves are not kept."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], Group] = {}

    def add(self, letters: Iterable[Letter]) -> None:
        """Count `letters`, each to its group."""
        for letter in letters:
            key = letter.reason, letter.endpoint_name or ""
            if key not in self._groups:
                example = letter.attributes.get("ErrorMessage", "")
                self._groups[key] = Group(letter.failed_at, letter.failed_at, example)
            self._groups[key].add(letter)

    @property
    def total(self) -> int:
        """How many letters there are."""
        return sum(group.count for group in self._groups.values())

    def brief(self, now: datetime) -> list[dict[str, Any]]:
        """The rows as a terminal has room for them: ages rather than times, and the beginning of the example."""
        return [
            {
                "ErrorCode": reason,
                "EndpointName": endpoint_name,
                "Count": group.count,
                "Oldest": _ago(now - group.oldest),
                "Newest": _ago(now - group.newest),
                "Example": textwrap.shorten(group.example, _BRIEF, placeholder="…"),
            }
            for (reason, endpoint_name), group in self._largest_first()
        ]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each group, the largest first."""
        return [
            {
                "ErrorCode": reason,
                "EndpointName": endpoint_name or None,
                "Count": group.count,
                "Oldest": stamp(group.oldest),
                "Newest": stamp(group.newest),
                "Example": group.example or None,
            }
            for (reason, endpoint_name), group in self._largest_first()
        ]

    def _largest_first(self) -> list[tuple[tuple[str, str], Group]]:
        return sorted(self._groups.items(), key=lambda one: -one[1].count)


def stamp(moment: datetime) -> str:
    """`moment` in UTC, to the second, as ISO 8601 has it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _ago(age: timedelta) -> str:
    """`age` in the largest unit that it has two of."""
    seconds = max(0, round(age.total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit} ago"
    return f"{seconds}s ago"
