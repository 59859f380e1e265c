"""Dead letters grouped by reason and endpoint."""

import textwrap
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cli.dlq.dead_letter import DeadLetter
from cli.timefmt import humanize

COLUMNS = ("ErrorCode", "EndpointName", "Count", "Oldest", "Newest", "Example")

_MAX_EXAMPLE = 100  # characters of an example on a terminal


@dataclass(slots=True)
class Group:
    """The dead letters with one reason and endpoint. `oldest` and `newest` are the times of their failures."""

    oldest: datetime
    newest: datetime
    example: str
    count: int = 0

    def add(self, dead_letter: DeadLetter) -> None:
        """Count `dead_letter`."""
        self.count += 1
        self.oldest = min(self.oldest, dead_letter.failed_at)
        self.newest = max(self.newest, dead_letter.failed_at)


class Groups:
    """Counts dead letters by reason and endpoint without keeping them in memory."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str], Group] = {}

    def add(self, dead_letter: DeadLetter) -> None:
        """Count `dead_letter` in its group."""
        key = dead_letter.reason, dead_letter.endpoint_name or ""
        if key not in self._groups:
            example = dead_letter.attributes.get("ErrorMessage", "")
            self._groups[key] = Group(dead_letter.failed_at, dead_letter.failed_at, example)
        self._groups[key].add(dead_letter)

    @property
    def total(self) -> int:
        """The number of dead letters in all groups."""
        return sum(group.count for group in self._groups.values())

    def rows(self) -> list[dict[str, Any]]:
        """A row per group, the largest first."""
        return [
            {
                "ErrorCode": reason,
                "EndpointName": endpoint_name or None,
                "Count": group.count,
                "Oldest": group.oldest,
                "Newest": group.newest,
                "Example": group.example or None,
            }
            for (reason, endpoint_name), group in self._largest_first()
        ]

    def short_rows(self, now: datetime) -> list[dict[str, Any]]:
        """The rows for a terminal: ages instead of times, and shortened examples."""
        return [
            {
                **row,
                "Oldest": f"{humanize((now - row['Oldest']).total_seconds())} ago",
                "Newest": f"{humanize((now - row['Newest']).total_seconds())} ago",
                "Example": textwrap.shorten(row["Example"] or "", _MAX_EXAMPLE, placeholder="…"),
            }
            for row in self.rows()
        ]

    def _largest_first(self) -> list[tuple[tuple[str, str], Group]]:
        return sorted(self._groups.items(), key=lambda item: -item[1].count)
