"""A small run keeps the guarantee, is the same each time, and finds a missing guard; it is cut down then."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.explorer.mutants import mutated
from tests.simulation.functions import SPECS, Spec
from tests.simulation.shrink import minimize, smallest
from tests.simulation.simulation import Plan, run

_ROOT = Path(__file__).parents[2]
# The guards whose absence shows in a small run. tests/explorer finds every one of them.
FOUND = (
    "an answer is not withdrawn",
    "the .err is not looked for after a success",
    "no upload is outdated",
    "the answer is not looked for again after the .err",
    "owners are compared encoded",
)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_keeps_the_guarantee(seed: int) -> None:
    result = run(Plan(seed, 400))
    assert result.violations == ()
    assert result.requests > 300
    for happened in (
        "workers killed",
        "redrives",
        "S3 and SQS calls lost",
        "conditional writes that conflicted",
        "answered",
        "failed, with a reason",
    ):
        assert result.counts[happened], happened


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_the_simulated_functions_are_wired_as_the_real_ones(spec: Spec) -> None:
    takes = ", ".join(f'"{kind}"' for kind in spec.takes)
    wiring = f"request_function(takes=[{takes}], run_batch={spec.run_batch.__name__})"
    assert wiring in (_ROOT / "lambdas" / f"{spec.name}.py").read_text()


def test_equal_seeds_give_equal_logs() -> None:
    """Whatever PYTHONHASHSEED is, and in whichever process."""
    file = io.StringIO()
    result = run(Plan(3, 150), file)
    code = "from tests.simulation.simulation import Plan, run; print(run(Plan(3, 150)).sha256)"
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": f"{_ROOT}{os.pathsep}{_ROOT}/lambdas"}
    again = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=_ROOT, check=True, capture_output=True, text=True
    )
    assert again.stdout.strip() == result.sha256
    assert file.getvalue().count("\n") == result.lines
    assert run(Plan(4, 150)).sha256 != result.sha256


@pytest.mark.parametrize("mutant", FOUND)
def test_a_missing_guard_is_found_in_a_run_that_is_cut_down(mutant: str) -> None:
    with mutated(mutant):
        found = run(Plan(5, 600))
        assert found.violations, f"the simulation does not find that {mutant}"
        small = smallest(found, seconds=90)
        assert small.violations
        assert len(small.plan.numbers) <= 3
        assert run(small.plan) == small, "its plan replays it"
    assert not run(small.plan).violations


def test_unconditional_writes_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.simulation.s3.SimulatedBucket._check", lambda *_: None)
    assert run(Plan(1, 600)).violations


def test_the_cut_keeps_only_what_fails() -> None:
    tried: list[tuple[int, ...]] = []

    def fails(some: object) -> bool:
        assert isinstance(some, list)
        tried.append(tuple(some))
        return {3, 17} <= set(some)

    assert minimize(list(range(40)), fails) == [3, 17]
    assert len(tried) < 50
