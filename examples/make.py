"""Creates the example inputs: rows and images from scikit-learn's data that the sample models were not trained on."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from local.models import digits, wine

_SCALE = 8  # from 8 to 64 pixels, so that the digits are visible


def make(folder: Path) -> None:
    """Write `wine/` and `digits/` into `folder`."""
    rows, _ = wine.held_out()
    lines = [[round(float(value), 4) for value in row] for row in rows[:14]]
    (folder / "wine").mkdir(parents=True, exist_ok=True)
    (folder / "wine" / "three.csv").write_text("".join(f"{','.join(map(str, line))}\n" for line in lines[:3]))
    (folder / "wine" / "one.json").write_text(json.dumps({"instances": [lines[3]]}) + "\n")
    (folder / "wine" / "ten.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines[4:14]))

    shades, labels = digits.held_out()
    (folder / "digits").mkdir(exist_ok=True)
    for digit in range(10):
        picture = shades[list(labels).index(digit)].reshape(digits.SIDE, digits.SIDE) * 255 / digits.SHADES
        large = np.kron(np.rint(picture), np.ones((_SCALE, _SCALE))).astype(np.uint8)
        Image.fromarray(large).save(folder / "digits" / f"{digit}.png")


if __name__ == "__main__":
    make(Path(__file__).parent)
