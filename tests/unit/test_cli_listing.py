"""Objects and outcomes are matched as they are listed: in S3's order, in little memory."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cli.backfill.listing import Judged, Listed, Merge

THEN = datetime(2026, 11, 1, tzinfo=UTC)
KEYS = st.lists(st.text("a-.oz/", min_size=1, max_size=6), unique=True, max_size=30)


def listed(keys: list[str]) -> list[Listed]:
    return [Listed(key, 1, "e", None, THEN, before) for before, key in zip(["", *keys], keys, strict=False)]


@given(KEYS, st.data(), st.sampled_from(["", "buckets/b/"]))
def test_each_object_comes_once_with_exactly_its_own_outcomes(keys: list[str], data: st.DataObject, at: str) -> None:
    keys.sort()
    stored = {
        at + key + suffix: THEN + timedelta(days=number)
        for suffix in (".out", ".err", ".summary.json")
        for number, key in enumerate(keys)
        if data.draw(st.booleans())
    }
    merge = Merge(listed(keys), at, iter(sorted(stored.items())))
    got = list(merge)
    assert sorted(one.listed.key for one in got) == keys
    for one in got:
        assert one.answered == stored.get(f"{at}{one.listed.key}.out")
        assert one.failed == stored.get(f"{at}{one.listed.key}.err")


@given(KEYS, st.integers(1, 5))
def test_wherever_it_is_interrupted_it_resumes_with_all_that_was_not_done(keys: list[str], size: int) -> None:
    keys.sort()
    merge = Merge(listed(keys), "", iter([]))
    every, done = iter(merge), set[str]()
    while batch := [one.listed for _, one in zip(range(size), every, strict=False)]:
        after = merge.resume_after(batch)
        assert after is not None
        assert {key for key in keys if key <= after} <= done
        done |= {one.key for one in batch}


def test_what_waits_is_only_what_the_current_key_begins_with() -> None:
    keys = sorted(["x", *(f"x!{number:06}" for number in range(20_000))])

    def read() -> Iterator[Listed]:
        for one in listed(keys):
            assert len(merge._waiting) <= 6
            yield one

    merge = Merge(read(), "", iter([]))
    assert len(list(merge)) == len(keys)


def test_an_outcome_counts_when_it_is_not_older_than_the_object() -> None:
    one = Judged(listed(["a"])[0])
    assert not one.has(None)
    assert not one.has(THEN - timedelta(seconds=1))
    assert one.has(THEN)
