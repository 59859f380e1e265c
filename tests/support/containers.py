"""Containers, as their documentation and source describe what they take and answer. The models behind them are sums.

Each is a `FakeEndpoint.answer`. A row is a record's numbers; what is no number is refused, as the container does it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sluice.failures import Operation, ServiceError
from sluice.ports import Inference
from tests.support.fakes import Call, service_error

JSON, CSV, JSON_LINES = "application/json", "text/csv", "application/jsonlines"

Rows = list[list[float]]
Respond = Callable[[bytes], Inference | Exception]


def refusal(status: int = 400) -> ServiceError:
    """What InvokeEndpoint raises when a container answers with `status`."""
    return service_error(Operation.INVOKE, "ModelError", "refused", status=424, original_status_code=status)


@dataclass(frozen=True)
class Container:
    """A container: how a record is written for it, its answer, and the AnswerFormat that a file of records has."""

    name: str
    content_type: str
    record: Callable[[int], str]
    respond: Respond
    answer_format: str
    source: str

    def answer(self, call: Call) -> Inference | Exception:
        """The response to a call. A content type that the container does not take is refused."""
        if call.parameters["ContentType"].partition(";")[0] != self.content_type:
            return refusal(415)
        try:
            return self.respond(call.body)
        except (ValueError, KeyError, TypeError):
            return refusal()

    def records(self, count: int) -> list[str]:
        """Different records."""
        return [self.record(number) for number in range(count)]


def csv_rows(body: bytes) -> Rows:
    return [[float(cell) for cell in line.split(",")] for line in body.decode().split("\n") if line]


def json_lines(body: bytes) -> list[Any]:
    return [json.loads(line) for line in body.decode().split("\n") if line]


def as_json(value: Any, **options: Any) -> Inference:
    return Inference(json.dumps(value, **options).encode(), JSON)


def as_lines(lines: Sequence[str], content_type: str = CSV, end: str = "\n") -> Inference:
    return Inference(("\n".join(lines) + end).encode(), content_type)


def score(row: Sequence[float]) -> float:
    """As float32, which a batch rounds differently from a row alone."""
    return round(sum(row) / 7, 5)


def classes(row: Sequence[float]) -> list[float]:
    high = round(score(row) % 1, 5)
    return [high, round(1 - high, 5)]


def csv_record(number: int) -> str:
    return f"{number},{number % 7}.5"


def features(number: int) -> str:
    return json.dumps({"features": [number, 0.5]})


def document(value: Callable[[int], Any]) -> Callable[[int], str]:
    return lambda number: json.dumps(value(number))


def batch(body: bytes) -> list[list[float]]:
    return [one["features"] for one in json_lines(body)]


def entities(number: int) -> list[dict[str, Any]]:
    """Named entities: none, one, or many in a text."""
    return [{"entity": "PER", "start": start} for start in range(number % 3)]


def unpacked_entities(body: bytes) -> Inference:
    """A list for each line, but the list itself for a single one."""
    found = [entities(len(line)) for line in body.decode().split("\n") if line]
    return as_json(found[0] if len(found) == 1 else found)


def hugging_face_entities(body: bytes) -> Inference:
    inputs = json.loads(body)["inputs"]
    if isinstance(inputs, str):  # a pipeline unpacks the answer to a single text
        return as_json(entities(len(inputs)))
    return as_json([entities(len(text)) for text in inputs])


def triton(body: bytes) -> Inference:
    (given,) = json.loads(body)["inputs"]
    count, width = given["shape"]
    rows = [given["data"][at * width : (at + 1) * width] for at in range(count)]
    return as_json(
        {
            "model_name": "sums",
            "model_version": "1",
            "outputs": [
                {"name": "score", "datatype": "FP32", "shape": [count, 1], "data": [score(row) for row in rows]},
                {"name": "label", "datatype": "INT64", "shape": [count, 1], "data": [len(row) for row in rows]},
            ],
        }
    )


def chat(body: bytes) -> Inference:
    last = json.loads(body)["messages"][-1]["content"]
    choice = {"index": 0, "message": {"role": "assistant", "content": f"You said:\n{last}"}, "finish_reason": "stop"}
    return as_json({"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice], "usage": {}})


def embeddings(body: bytes) -> Inference:
    given = json.loads(body)["input"]
    texts = [given] if isinstance(given, str) else given
    data = [{"object": "embedding", "index": index, "embedding": [len(one), 1]} for index, one in enumerate(texts)]
    return as_json({"object": "list", "data": data, "model": "sums", "usage": {"total_tokens": 1}})


def forecast(series: dict[str, Any]) -> dict[str, Any]:
    mean = score(series["target"])
    return {"mean": [mean, mean + 1], "quantiles": {"0.5": [mean, mean], "0.9": [mean + 2, mean + 3]}}


def auto_gluon(body: bytes) -> Inference:
    rows = [f"{'high' if score(row) > 1 else 'low'},{','.join(map(str, classes(row)))}" for row in csv_rows(body)]
    return as_lines(["class,high,low", *rows])


def first_only(body: bytes) -> Inference:
    """Three scores, of its first record, whatever follows."""
    first = score(csv_rows(body)[0])
    return as_json({"scores": [first, first + 1, first + 2]})


def two_outputs(body: bytes) -> Inference:
    """An array for each output, with a value for each record."""
    rows = csv_rows(body)
    return as_json({"outputs": [[score(row) for row in rows], [len(row) for row in rows]]})


def linear_learner(body: bytes) -> Inference:
    found = [{"score": score(row), "predicted_label": int(score(row) > 1)} for row in csv_rows(body)]
    return as_json({"predictions": found})
