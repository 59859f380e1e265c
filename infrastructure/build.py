"""What is built before it is uploaded: each thing once, cached by what goes into it."""

import hashlib
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parent.parent
_CACHE = ROOT / ".build"

Target = Literal["lambda", "host"]
"""Where it will run: in Lambda (arm64, Python 3.13), or on this machine with this very interpreter."""


class BuildError(Exception):
    """Something can't be built; the text is one line."""


def cached(name: str, parts: Iterable[str], fill: Callable[[Path], None]) -> Path:
    """The folder called `name` for `parts`, filled by `fill` when it isn't there yet.

    Raises what `fill` raises, and leaves nothing then.
    """
    folder = _CACHE / f"{name}-{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:16]}"
    if not folder.exists():
        _CACHE.mkdir(exist_ok=True)
        # Built beside its place and then moved there: a build that is cut short leaves nothing half done.
        with tempfile.TemporaryDirectory(dir=_CACHE, prefix="building-") as building:
            content = Path(building, "content")
            content.mkdir()
            fill(content)
            try:
                content.rename(folder)
            except OSError:
                if not folder.exists():  # else another build was first, of the same
                    raise
    return folder
