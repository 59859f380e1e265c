"""ErrorThreshold: how many of a file's records may fail before the file fails."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

_COUNT = re.compile(r"[0-9]{1,15}")
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)%")
VALID = "a number of records, such as 100, or a percentage of them, such as 5%"


@dataclass(frozen=True, slots=True)
class ErrorThreshold:
    """The most records that may fail: `count` of them, or `percent` of all that are sent."""

    count: int | None = None
    percent: Decimal = Decimal(100)

    @classmethod
    def parse(cls, value: str | int) -> Self:
        """The threshold in a setting: `100` or `5%`. Raises `ValueError`."""
        text = str(value)
        if not isinstance(value, bool) and _COUNT.fullmatch(text):
            return cls(int(text))
        found = _PERCENT.fullmatch(text)
        if found is None or Decimal(found[1]) > 100:
            raise ValueError(f"must be {VALID}")
        return cls(None, Decimal(found[1]))

    def __str__(self) -> str:
        """As `parse` reads it."""
        return f"{self.percent}%" if self.count is None else str(self.count)

    @property
    def is_set(self) -> bool:
        """Whether a file can be over it: no more than 100 percent of the records can fail."""
        return self.count is not None or self.percent < 100

    def is_exceeded(self, failed: int, records: float) -> bool:
        """Whether `failed` of `records` that are sent are too many."""
        return failed > self.allowed(records)

    def allowed(self, records: float) -> int:
        """How many of `records` may fail."""
        return self.count if self.count is not None else int(self.percent * Decimal(records) / 100)
