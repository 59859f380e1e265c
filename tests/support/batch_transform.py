"""Batch Transform's filters and joins, implemented again from its documentation, to compare Sluice's with.

It shares no code with `sluice.transform`: JSON and CSV are read by Python's modules, and written by what is here.
Numbers are texts, so that they are compared as they are written.
"""

import csv
import io
import json
import re
from typing import Any


class Missing(Exception):
    """A filter names what a record has not."""


class Number(str):
    """A JSON number as it is written."""

    __slots__ = ()


def parse(text: str) -> Any:
    """JSON with numbers as they are written."""
    return json.loads(text, parse_int=Number, parse_float=Number)


def dump(value: Any) -> str:
    """JSON in one line."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{dump(name)}:{dump(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(dump, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def row(text: str) -> list[str]:
    """The fields of a record of CSV."""
    (found,) = csv.reader(io.StringIO(text, newline=""))
    return found


def select(path: str, value: Any) -> Any:
    """What a path selects: one value, or a list if it has a wildcard, a slice or several indices. Raises `Missing`."""
    rest, found, many = path.removeprefix("$"), [value], False
    while rest:
        if name := re.match(r"\.(\w+)", rest):
            found = [one[name[1]] for one in found if isinstance(one, dict) and name[1] in one]
            rest = rest[name.end() :]
        elif rest.startswith((".*", "[*]")):
            found = [child for one in found for child in _children(one)]
            many = True
            rest = rest[len(".*") if rest.startswith(".*") else len("[*]") :]
        else:
            inside, rest = rest[1:].split("]", 1)
            if inside.startswith("'"):
                names = [one.strip().strip("'") for one in inside.split(",")]
                objects = [{name: one[name] for name in names if name in one} for one in found if isinstance(one, dict)]
                if len(names) == 1 or rest:
                    found = [part for one in objects for part in one.values()]
                    many = many or len(names) > 1
                else:
                    found = [one for one in objects if one]
            else:
                many = many or ":" in inside or "," in inside
                found = [element for one in found if isinstance(one, list) for element in _elements(one, inside)]
    if many:
        return found
    if not found:
        raise Missing
    return found[0]


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value.values()]
    return value if isinstance(value, list) else []


def _elements(values: list[Any], inside: str) -> list[Any]:
    """DataProcessing: "If you specify indexes that aren't within the dimension size …, you get an error."."""
    found: list[Any] = []
    for one in inside.split(","):
        if ":" in one:
            first, last = one.split(":")
            found += values[int(first) if first else None : int(last) if last else None]
        else:
            try:
                found.append(values[int(one)])
            except IndexError:
                raise Missing from None
    return found


def joined(record: Any, answer: Any) -> Any:
    """A record with its answer. Records and answers of CSV are lists of `str`, and those of JSON are in `Json`."""
    if isinstance(record, list):
        return [*record, *_fields(answer)]
    output = _value(answer)
    if isinstance(record.value, dict):
        return Json({**record.value, "SageMakerOutput": output})
    return Json({"SageMakerInput": record.value, "SageMakerOutput": output})


class Json:
    """A JSON value, apart from the fields of CSV."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _fields(answer: Any) -> list[Any]:
    if isinstance(answer, list):
        return answer
    value = answer.value
    if isinstance(value, list) and value and not any(isinstance(one, list | dict) for one in value):
        return [Json(one) for one in value]
    return [answer]


def _value(answer: Any) -> Any:
    if isinstance(answer, Json):
        return answer.value
    values = [Number(one) if re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", one) else one for one in answer]
    return values[0] if len(values) == 1 else values


def filtered(path: str, value: Any) -> Any:
    """What a filter leaves of a record: a row of CSV again, or `Json`. Raises `Missing`."""
    if isinstance(value, Json):
        return Json(select(path, value.value))
    found = select(path, value)
    return found if isinstance(found, list) else [found]


def written(value: Any) -> str:
    """A record as text."""
    if isinstance(value, Json):
        return dump(value.value)
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerow([_field(one) for one in value])
    return buffer.getvalue().removesuffix("\n")


def _field(value: Any) -> str:
    if isinstance(value, Json):
        return value.value if isinstance(value.value, str) else dump(value.value)
    return str(value)
