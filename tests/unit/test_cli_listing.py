"""Objects and outcomes are matched while they are listed, in the order of S3, without keeping them in memory."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cli.backfill.listing import Candidate, ListedObject, Merge

THEN = datetime(2026, 11, 1, tzinfo=UTC)
KEYS = st.lists(st.text("a-.oz/", min_size=1, max_size=6), unique=True, max_size=30)


def objects(keys: list[str]) -> list[ListedObject]:
    return [ListedObject(key, 1, "e", None, THEN, previous) for previous, key in zip(["", *keys], keys, strict=False)]


@given(KEYS, st.data(), st.sampled_from(["", "buckets/b/"]))
def test_each_object_is_returned_once_with_its_own_outcomes(keys: list[str], data: st.DataObject, at: str) -> None:
    keys.sort()
    stored = {
        at + key + suffix: THEN + timedelta(days=number)
        for suffix in (".out", ".err", ".summary.json")
        for number, key in enumerate(keys)
        if data.draw(st.booleans())
    }
    merge = Merge(objects(keys), at, iter(sorted(stored.items())))
    got = list(merge)
    assert sorted(one.object.key for one in got) == keys
    for one in got:
        assert one.answered == stored.get(f"{at}{one.object.key}.out")
        assert one.failed == stored.get(f"{at}{one.object.key}.err")


@given(KEYS, st.data())
def test_each_outcome_without_an_object_is_returned_once(keys: list[str], data: st.DataObject) -> None:
    keys.sort()
    suffixes = (".out", ".err", ".summary.json")
    stored = {key + suffix for key in keys for suffix in suffixes if data.draw(st.booleans())}
    stored |= {key + suffix for key in data.draw(KEYS) for suffix in suffixes}
    unmatched: list[str] = []
    merge = Merge(objects(keys), "", ((key, THEN) for key in sorted(stored)), lambda key, _: unmatched.append(key))
    assert len(list(merge)) == len(keys)
    assert unmatched == sorted(stored - {key + suffix for key in keys for suffix in (".out", ".err")})


@given(KEYS, st.integers(1, 5))
def test_an_interrupted_run_resumes_with_everything_that_is_not_done(keys: list[str], size: int) -> None:
    keys.sort()
    merge = Merge(objects(keys), "", iter([]))
    every, done = iter(merge), set[str]()
    while batch := [one.object for _, one in zip(range(size), every, strict=False)]:
        after = merge.resume_after(batch)
        assert after is not None
        assert {key for key in keys if key <= after} <= done
        done |= {one.key for one in batch}


def test_only_prefixes_of_the_current_key_wait() -> None:
    keys = sorted(["x", *(f"x!{number:06}" for number in range(20_000))])

    def read() -> Iterator[ListedObject]:
        for one in objects(keys):
            assert len(merge._waiting) <= 6
            yield one

    merge = Merge(read(), "", iter([]))
    assert len(list(merge)) == len(keys)


def test_an_outcome_older_than_the_object_does_not_count() -> None:
    one = Candidate(objects(["a"])[0])
    assert not one.is_outcome(None)
    assert not one.is_outcome(THEN - timedelta(seconds=1))
    assert one.is_outcome(THEN)
