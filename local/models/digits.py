"""Classifies the digit in an image (scikit-learn's handwritten digits, 8 × 8 pixels in 17 shades)."""

import io
import json
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

from local.models.contract import InputError, Prediction

SIDE = 8
SHADES = 16
_SPLIT = {"test_size": 0.3, "random_state": 7}


def held_out() -> tuple[Any, Any]:
    """Test data: images as rows of 64 shades, and their digits."""
    data = load_digits()
    _, rows, _, labels = train_test_split(data.data, data.target, **_SPLIT)
    return rows, labels


class Digits:
    """Accepts image/png of any size, light on dark."""

    def __init__(self) -> None:
        data = load_digits()
        rows, _, labels, _ = train_test_split(data.data, data.target, **_SPLIT)
        self._model = SVC(gamma=0.001)
        self._model.fit(rows, labels)

    def predict(self, body: bytes, content_type: str, accept: str) -> Prediction:  # noqa: ARG002 - JSON only
        """The digit, as JSON."""
        if content_type != "image/png":
            raise InputError(f"send image/png, not {content_type or 'nothing'}", 415)
        label = int(self._model.predict(_shades(body))[0])
        return Prediction(json.dumps({"predictions": [{"label": label}]}).encode(), "application/json")


def _shades(body: bytes) -> Any:
    try:
        with Image.open(io.BytesIO(body), formats=["PNG"]) as picture:
            small = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError):
        raise InputError("the body is not a PNG picture") from None
    return np.rint(np.asarray(small, dtype=float).reshape(1, -1) * SHADES / 255)
