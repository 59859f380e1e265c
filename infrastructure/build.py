"""A cache for what is built before it is uploaded, by the hash of its inputs."""

import hashlib
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parent.parent
_CACHE = ROOT / ".build"

_READ = 0o444
_ENTER = 0o111

Target = Literal["lambda", "host"]
"""The platform that the code is built for: in Lambda (arm64, Python 3.13), or on this machine with this interpreter."""


class BuildError(Exception):
    """Something can't be built. The text is one line."""


def cached(name: str, parts: Iterable[str], fill: Callable[[Path], None]) -> Path:
    """Return the folder called `name` for the inputs `parts`. If there is none yet, `fill` fills a new one.

    Raises what `fill` raises. No folder is left then.
    """
    folder = _CACHE / f"{name}-{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:16]}"
    if not folder.exists():
        _CACHE.mkdir(exist_ok=True)
        # Built in a temporary folder and then moved, so that an interrupted build leaves no incomplete folder.
        with tempfile.TemporaryDirectory(dir=_CACHE, prefix="building-") as building:
            content = Path(building, "content")
            content.mkdir()
            fill(content)
            _permit_reading(content)
            try:
                content.rename(folder)
            except OSError:
                if not folder.exists():  # otherwise another process has built the same
                    raise
    return folder


def _permit_reading(folder: Path) -> None:
    """Permit everybody to read what is in `folder`: in Lambda, another user does, whatever the umask of this one is."""
    for path in (folder, *folder.rglob("*")):
        mode = path.lstat().st_mode
        if not path.is_symlink():
            path.chmod(mode | _READ | (_ENTER if path.is_dir() or mode & 0o100 else 0))
