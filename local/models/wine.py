"""Classifies wines into three cultivars by 13 measurements (scikit-learn's wine data)."""

import csv
import io
import json
from typing import Any

import numpy as np
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from local.models.contract import InputError, Prediction

FEATURES = 13
_SPLIT = {"test_size": 0.3, "random_state": 7}


def held_out() -> tuple[Any, Any]:
    """Test data: rows, and their cultivars from 0 to 2."""
    data = load_wine()
    _, rows, _, labels = train_test_split(data.data, data.target, **_SPLIT)
    return rows, labels


class Wine:
    """Accepts text/csv, application/json ({"instances": [[…], …]}) and application/jsonlines ([…] on each line)."""

    def __init__(self) -> None:
        data = load_wine()
        rows, _, labels, _ = train_test_split(data.data, data.target, **_SPLIT)
        self._pipeline: Pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        self._pipeline.fit(rows, labels)

    def predict(self, body: bytes, content_type: str, accept: str) -> Prediction:
        """One prediction per row, as CSV or JSON Lines if `accept` asks for it, otherwise as JSON.

        JSON Lines input gets JSON Lines if `accept` is `*/*`.
        """
        probabilities = self._pipeline.predict_proba(_matrix(_rows(body, content_type)))
        predictions = [
            {"label": f"class_{row.argmax()}", "probability": round(float(row.max()), 4)} for row in probabilities
        ]
        if accept == "text/csv":
            return Prediction("".join(f"{one['label']},{one['probability']}\n" for one in predictions).encode(), accept)
        if "application/jsonlines" in (accept, content_type if accept == "*/*" else ""):
            lines = "".join(f"{json.dumps(one)}\n" for one in predictions)
            return Prediction(lines.encode(), "application/jsonlines")
        return Prediction(json.dumps({"predictions": predictions}).encode(), "application/json")


def _rows(body: bytes, content_type: str) -> list[Any]:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise InputError("the body must be UTF-8 text") from None
    if content_type == "text/csv":
        return _csv(text)
    if content_type == "application/jsonlines":
        return [_json(line, f"line {number}") for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if content_type == "application/json":
        given = _json(text, "the body")
        if not isinstance(given, dict) or not isinstance(given.get("instances"), list):
            raise InputError(f'send {{"instances": [[…], …]}}, each with {FEATURES} numbers')
        rows: list[Any] = given["instances"]
        return rows
    raise InputError(f"send text/csv, application/json or application/jsonlines, not {content_type or 'nothing'}", 415)


def _csv(text: str) -> list[list[str]]:
    reader = csv.reader(io.StringIO(text))
    try:
        return [row for row in reader if row]  # ignores empty lines
    except csv.Error as error:
        raise InputError(f"line {reader.line_num} is not CSV: {error}") from None


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} is not JSON: {error}") from None


def _matrix(rows: list[Any]) -> Any:
    if not rows:
        raise InputError("there is no row")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, list) or len(row) != FEATURES:
            length = len(row) if isinstance(row, list) else type(row).__name__
            raise InputError(f"row {number} has {length} values; send {FEATURES}")
        for column, value in enumerate(row, 1):
            if not _is_number(value):
                hint = "; send the numbers without a header row" if number == 1 and isinstance(value, str) else ""
                raise InputError(f"row {number}, column {column} is not a number{hint}")
    return np.array(rows, dtype=float)


def _is_number(value: object) -> bool:
    """Whether `value` is a JSON number, or the text of a number from CSV. The model itself rejects NaN."""
    if isinstance(value, str):
        try:
            float(value)
        except ValueError:
            return False
        return True
    return isinstance(value, int | float) and not isinstance(value, bool)
