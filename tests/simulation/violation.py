"""What a run has violated."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Violation:
    """A violation of the guarantee, and the client whose request it is about; "" if it is about none."""

    client: str
    text: str
