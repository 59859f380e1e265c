"""Batch Transform's JSONPath."""

import itertools
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.transform.paths import NotThere, Path, PathError

RECORD = {
    "id": 7,
    "features": [1, 2, 3, 4],
    "a b": {"c": [{"d": 1}, {"d": 2}]},
    "nested": {"x": 1, "y": 2, "z": None},
}


@pytest.mark.parametrize(
    ("path", "record", "found"),
    [
        ("$", RECORD, RECORD),
        ("$.id", RECORD, 7),
        ("$['id']", RECORD, 7),
        ("$.['id']", RECORD, 7),
        ("$.features[0]", RECORD, 1),
        ("$.features[-1]", RECORD, 4),
        ("$.features[1:3]", RECORD, [2, 3]),
        ("$.features[1:]", RECORD, [2, 3, 4]),
        ("$.features[:-1]", RECORD, [1, 2, 3]),
        ("$.features[0, 2]", RECORD, [1, 3]),
        ("$.features[*]", RECORD, [1, 2, 3, 4]),
        ("$.nested.*", RECORD, [1, 2, None]),
        ("$.nested['x','z']", RECORD, {"x": 1, "z": None}),
        ("$['id','SageMakerOutput']", {"id": 1, "x": 2, "SageMakerOutput": [3]}, {"id": 1, "SageMakerOutput": [3]}),
        ("$['id','nowhere']", RECORD, {"id": 7}),
        ("$['a b'].c[*]['d','e']", RECORD, [{"d": 1}, {"d": 2}]),
        ("$['a','b'].c", {"a": {"c": 1}, "b": {"c": 2}}, [1, 2]),
        ("$[0,5:]", ["0", "1", "2", "3", "4", "5", "6"], ["0", "5", "6"]),
        ("$[:2, -1]", ["0", "1", "2", "3"], ["0", "1", "3"]),
        ("$[0,5:]", ["0", "1"], ["0"]),
        ("$['a b'].c[*].d", RECORD, [1, 2]),
        ("$.nested.z", RECORD, None),
        ("$[1:]", ["id", "1", "2"], ["1", "2"]),
        ("$[0]", ["id", "1"], "id"),
        ("$[0,-1]", ["id", "1", "x"], ["id", "x"]),
        ("$[5:]", ["id"], []),
    ],
)
def test_values_of_a_path(path: str, record: Any, found: Any) -> None:
    assert Path.parse(path).find(record) == found


@pytest.mark.parametrize(
    "path",
    [
        "$.missing",
        "$.features[9]",
        "$.features[0,9]",
        "$.features[-5,1]",
        "$['x','y']",
        "$.id.x",
        "$[0]",
        "$.features.id",
    ],
)
def test_a_missing_value(path: str) -> None:
    with pytest.raises(NotThere):
        Path.parse(path).find(RECORD)


@pytest.mark.parametrize(
    "path",
    [
        *["", "id", "$.", "$..id", "$[?(@.x)]", "$['a", "$[1:2:3]", "$ .a", "$[]", "$.a$"],
        *["$[0,0]", "$['a','a']", "$[1:,1:]", "$[0,-1][0,-1][0,-1]", "$[0,0:][0,0:][0,0:]", "$[0,]"],
        "$[" + ",".join(f"{start}:" for start in range(5)) + "]",
        "$[" + ",".join(f"{start}:" for start in range(400)) + "]",
        "$[0:,1:,2:].a[0:,1:]",
        "$[:-1,:-2,:-3,:-4,:-5]",
    ],
)
def test_invalid_paths(path: str) -> None:
    with pytest.raises(PathError):
        Path.parse(path)


def test_a_path_finds_no_more_than_the_record_holds_several_times() -> None:
    """Each of 100 steps that select an element twice would double the values that are found."""
    record: Any = 1
    for _ in range(100):
        record = [record]
    with pytest.raises(PathError):
        Path.parse("$" + 100 * "[0,-1]")
    assert len(Path.parse("$[0,-1][0,-1]" + 98 * "[:2]").find(record)) == 4


_BOUNDS = st.none() | st.integers(-6, 6)
_SELECTORS = st.integers(-3, 3).map(str) | st.tuples(_BOUNDS, _BOUNDS).map(
    lambda ends: ":".join("" if one is None else str(one) for one in ends)
)


@given(st.lists(st.lists(_SELECTORS, min_size=1, max_size=7, unique=True), min_size=1, max_size=3), st.integers(1, 9))
def test_a_path_finds_an_element_a_few_times_at_most(steps: list[list[str]], length: int) -> None:
    numbers = itertools.count()

    def nested(depth: int) -> Any:
        return [nested(depth - 1) for _ in range(length)] if depth else next(numbers)

    record = nested(len(steps))
    try:
        found = Path.parse("$" + "".join(f"[{','.join(step)}]" for step in steps)).find(record)
    except (PathError, NotThere):
        return
    counts = Counter(json.dumps(one) for one in (found if isinstance(found, list) else [found]))
    assert max(counts.values(), default=0) <= 4


@pytest.mark.parametrize(
    "path", ["$[0:3,5:8,10:12,20:]", "$[0,1,2,3,4,5,-1]", "$[:2,7,4:6].a[1:].b[2:]", "$[:-1,0,1:]"]
)
def test_selectors_beside_each_other_are_a_path(path: str) -> None:
    assert Path.parse(path).many


@given(st.text(alphabet="$.[]*:,'ab01- ", max_size=12), st.recursive(st.integers(), st.lists))
def test_any_text_is_a_path_or_an_error(text: str, record: Any) -> None:
    try:
        path = Path.parse(text)
        path.find(record)
    except (PathError, NotThere):
        return
    assert text.startswith("$")
