"""Runs the kept inputs, and a few thousand new ones. `make fuzz` tries half a million, guided by coverage."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.__main__ import CORPUS
from tests.fuzz.targets import TARGETS

SEEDS = {target: [path.read_bytes() for path in sorted((CORPUS / target).iterdir())] for target in TARGETS}


def mutated(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """A seed with a part of it replaced by bytes, or by a part of another seed."""

    @st.composite
    def mutant(draw: st.DrawFn) -> bytes:
        seed, other = draw(st.sampled_from(seeds)), draw(st.sampled_from(seeds))
        start, end = sorted(draw(st.tuples(*[st.integers(0, len(seed))] * 2)))
        piece = draw(
            st.binary(max_size=8) | st.just(other[start:end]) | st.sampled_from([b"", b'"', b"\xff", b"9" * 30])
        )
        return seed[:start] + piece + seed[end:]

    return st.binary(max_size=64) | mutant()


@pytest.mark.parametrize("target", TARGETS)
def test_the_kept_inputs(target: str) -> None:
    for seed in SEEDS[target]:
        assert TARGETS[target](seed)


@pytest.mark.parametrize("target", TARGETS)
def test_new_inputs(target: str) -> None:
    @settings(max_examples=500)
    @given(mutated(SEEDS[target]))
    def check(data: bytes) -> None:
        assert TARGETS[target](data)

    check()


def test_a_broken_promise_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A target that notices nothing would find nothing."""
    monkeypatch.setattr("sluice.keys.message_name", lambda *_, **__: "../elsewhere")
    with pytest.raises(AssertionError, match="elsewhere"):
        TARGETS["message"](b'{"Body": 1}')


def test_the_corpus_has_a_folder_for_each_target() -> None:
    assert {path.name for path in Path(CORPUS).iterdir()} == set(TARGETS)
