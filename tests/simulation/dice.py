"""Random numbers that depend on the seed and on a name only, never on what else happens in the run."""

import random
from hashlib import blake2b


class Dice:
    """Numbers by name. A run without some of its clients therefore draws the same numbers for the others."""

    def __init__(self, seed: int) -> None:
        self._key = str(seed).encode()

    def fractions(self, name: str, count: int = 4) -> tuple[float, ...]:
        """`count` numbers from 0 to 1 (exclusive), at most 16."""
        digest = blake2b(name.encode("utf-8", "replace"), digest_size=4 * count, key=self._key).digest()
        return tuple(int.from_bytes(digest[at : at + 4]) / 2**32 for at in range(0, 4 * count, 4))

    def fraction(self, name: str) -> float:
        """A number from 0 to 1 (exclusive)."""
        return self.fractions(name, 1)[0]

    def stream(self, name: str) -> random.Random:
        """A generator of its own. `random.Random` hashes a text itself, so PYTHONHASHSEED has no influence."""
        return random.Random(f"{self._key.decode()}/{name}")

    def identifier(self, name: str) -> str:
        """32 hexadecimal digits."""
        return blake2b(name.encode("utf-8", "replace"), digest_size=16, key=self._key).hexdigest()

    def uuid(self, name: str) -> str:
        """A UUID in its usual form, such as that of an SQS message."""
        digits = self.identifier(name)
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"
