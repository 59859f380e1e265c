"""What stands beside the `.out` of a dataset is of the same version, however the assemblies of two versions overlap."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from sluice import keys
from sluice.failures import Operation
from sluice.ports import Inference, ObjectHead
from sluice.processing.result import owner_of
from tests.support.fakes import Answer, Call, Fuse, Killed, service_error
from tests.support.transform import Transforms

_KEY = "transform/a.csv"
_LINES = {"answered": b"%d\n%d\n", "a line refused": b"%d\nbad %d\n"}


def _answer(call: Call) -> Answer:
    if b"bad" in call.body:
        return service_error(Operation.INVOKE, "ModelError", original_status_code=400)
    return Inference(call.body, "text/csv")


class _Meanwhile(Fuse):
    """Runs `act` before the operation number `at`, and kills the worker before the operation number `dies_at`."""

    def __init__(self, at: int, act: Callable[[], None], dies_at: int | None) -> None:
        super().__init__(dies_at)
        self._at = at
        self._act = act

    async def around(self, name: str, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if len(self.passed) + 1 == self._at:
            self._act()
        return await super().around(name, operation, *args, **kwargs)


def _parts(world: Transforms, lines: bytes) -> str:
    """Transform the next version of the dataset up to its assembly, which is returned and was not delivered."""
    world.drop(_KEY, lines)
    world.process(world.splits.bodies.pop())
    world.process(world.requests.bodies.pop())
    return world.assemblies.bodies.pop()


def _overlap(old: bytes, new: bytes, at: int, dies_at: int | None) -> tuple[Transforms, int]:
    """Assemble the old version; the new one is uploaded, answered and assembled before operation `at` of that."""
    world = Transforms()
    world.endpoint.answer = _answer
    assembly = _parts(world, old)
    meanwhile = _Meanwhile(at, lambda: _assemble(world, _parts(world, new)), dies_at)
    try:
        _assemble(world, assembly, meanwhile)
    except Killed:
        _assemble(world, assembly)
    return world, len(meanwhile.passed)


def _assemble(world: Transforms, assembly: str, fuse: Fuse | None = None) -> None:
    (outcome,) = world.process(assembly, fuse=fuse)
    assert outcome.acknowledged


@pytest.mark.parametrize("new", _LINES)
@pytest.mark.parametrize("old", _LINES)
def test_the_errors_and_the_summary_are_of_the_version_that_is_answered(old: str, new: str) -> None:
    for at in itertools.count(1):
        before = _LINES[old] % (1, 2), _LINES[new] % (3, 4)
        operations = _overlap(*before, at, None)[1]
        if operations < at:
            return
        for dies_at in (None, *range(at, operations + 1)):
            world, _ = _overlap(*before, at, dies_at)
            _check(world, is_refused=new == "a line refused")


def _check(world: Transforms, *, is_refused: bool) -> None:
    there = world.results.objects
    owners = {
        suffix: owner_of(ObjectHead(**there[_KEY + suffix].described))
        for suffix in (keys.OUT, keys.ERRORS, keys.SUMMARY)
        if _KEY + suffix in there
    }
    assert owners.keys() == {keys.OUT, keys.SUMMARY} | ({keys.ERRORS} if is_refused else set())
    assert len(set(owners.values())) == 1
    assert world.out(_KEY) == (b"3\n\n" if is_refused else b"3\n4\n")
    assert [error["Record"] for error in world.errors(_KEY)] == (["bad 4"] if is_refused else [])
    assert world.summary(_KEY)["failed"] == is_refused
