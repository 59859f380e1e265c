"""What the infrastructure repeats of lambdas/ is what lambdas/ defines."""

import contextlib

import pytest

from infrastructure import lambda_constants
from infrastructure.memory import bodies_at_once
from sluice import keys
from sluice.error_codes import FailureClass
from sluice.processing import memory, result
from sluice.processing.memory import CallMemory
from sluice.transform import options
from tests.support.virtual_time import run

MB = 1024 * 1024


def test_prefixes() -> None:
    for name in ("INVOKE", "TRANSFORM", "PARTS", "OTHER_BUCKETS", "MESSAGES"):
        assert getattr(lambda_constants, f"{name}_PREFIX") == getattr(keys, f"{name}_PREFIX")


def test_suffixes_and_limits() -> None:
    assert lambda_constants.RESULT_SUFFIX == keys.OUT
    assert lambda_constants.FAILURE_SUFFIX == keys.ERR
    assert lambda_constants.MAX_MESSAGE_BYTES == result.MAX_MESSAGE_BYTES


def test_memory() -> None:
    assert lambda_constants.WITHOUT_BODIES_BYTES == memory._WITHOUT_BODIES
    assert lambda_constants.COPIES == memory._COPIES
    assert lambda_constants.MAX_CHUNK_BYTES == options.MAX_CHUNK_BYTES


@pytest.mark.parametrize(("memory_mb", "body"), [(512, 25 * MB), (512, 6 * MB), (1024, 25 * MB), (160, 25 * MB)])
def test_as_many_bodies_fit_as_the_functions_read_at_once(memory_mb: int, body: int) -> None:
    calls = CallMemory(memory.Memory(memory_mb), body)
    read = 0

    async def main() -> None:
        nonlocal read
        with contextlib.suppress(memory.MemoryExhausted):
            while True:
                await calls.reserve(lambda: 0, "wine")
                read += 1

    run(main())
    assert bodies_at_once(memory_mb, body) == read


def test_failure_classes() -> None:
    assert {name.lower() for name in lambda_constants.FAILURE_CLASSES} == set(FailureClass)
