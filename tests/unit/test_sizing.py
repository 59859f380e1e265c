"""Sizing: the settings are deployable, a simulation confirms the predictions, and errors name the field."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import assume, given
from hypothesis import strategies as st

from benchmarks.simulate import simulate
from cli.main import main
from cli.quotas import HEAD_REQUESTS
from cli.sizing.calculator import Workload, calculate, explain
from cli.sizing.cost import cost_per_million
from infrastructure.settings import Settings
from sluice.ports import ObjectHead
from sluice.processing.outcome import Status
from tests.support.fakes import FakeBucket, World

workloads = st.builds(
    Workload,
    latency_seconds=st.floats(0.005, 60),
    concurrent_requests=st.integers(2, 10_000),
    arrivals_per_second=st.floats(0, 5000),
    memory_mb=st.integers(128, 10_240),
    backlog=st.integers(0, 1_000_000),
)


@given(workloads)
def test_the_settings_are_deployable_and_never_exceed_what_the_endpoint_takes(workload: Workload) -> None:
    sizing = calculate(workload)
    settings = Settings.from_context(
        {
            "endpoint_names": ["wine"],
            "concurrent_requests": workload.concurrent_requests,
            "concurrent_dataset_requests": 0,
            "batch_size": sizing.batch_size,
            "batching_window_seconds": sizing.batching_window_seconds,
            "function": {"memory_mb": workload.memory_mb},
        }
    )
    assert settings.concurrent_calls == sizing.batch_size
    assert settings.maximum_concurrency == sizing.maximum_concurrency
    assert settings.concurrent_calls * settings.maximum_concurrency <= workload.concurrent_requests
    assert sizing.messages_per_second <= workload.concurrent_requests / workload.latency_seconds
    assert sizing.cost.total > 0


@pytest.mark.parametrize(
    "workload",
    [
        Workload(0.2, 100, 0, backlog=1_000_000, p99_seconds=0.238),
        Workload(0.2, 20, 50, backlog=20_000, p99_seconds=0.238),
        Workload(1.0, 200, 100, backlog=50_000, p99_seconds=1.19),
        Workload(0.05, 1000, 1000, backlog=300_000, p99_seconds=0.0595),
    ],
)
def test_a_backlog_drains_in_the_predicted_time(workload: Workload) -> None:
    sizing = calculate(workload)
    messages = workload.backlog + int(workload.arrivals_per_second * sizing.drain_seconds * 1.3)
    run = simulate(workload, sizing, lambda t: workload.backlog + workload.arrivals_per_second * t, messages)
    drained = next(t for t, depth in run.depths if t > 0 and depth <= 2 * sizing.batch_size)
    assert drained == pytest.approx(sizing.drain_seconds, rel=0.1)
    assert run.most_concurrent <= workload.concurrent_requests


def test_a_queue_that_grows_never_drains() -> None:
    workload = Workload(0.2, 20, 200, backlog=10)
    sizing = calculate(workload)
    assert sizing.busy > 1
    assert math.isinf(sizing.drain_seconds)
    assert "the endpoint needs to take about 50 requests at once" in explain(workload, sizing)


@given(workloads, st.data())
def test_a_share_for_datasets_is_deployable(workload: Workload, data: st.DataObject) -> None:
    assume(workload.concurrent_requests >= 4)
    share = data.draw(st.integers(2, workload.concurrent_requests - 2))
    sizing = calculate(replace(workload, dataset_requests=share))
    text = explain(replace(workload, dataset_requests=share), sizing)
    printed = json.loads("{" + text.partition("Settings:")[2].partition("Expected:")[0] + "}")
    settings = Settings.from_context({"endpoint_names": ["wine"], **printed})
    assert settings.dataset_requests == share
    assert settings.maximum_concurrency == sizing.maximum_concurrency
    assert settings.concurrent_calls == sizing.batch_size
    assert "have no share" not in text


def test_without_a_share_for_datasets_it_says_so() -> None:
    workload = Workload(0.2, 20, 10)
    assert "--dataset-concurrency gives them one" in explain(workload, calculate(workload))


@pytest.mark.parametrize(
    ("workload", "says"),
    [
        (Workload(0.01, 10_000, 6), "prefixes (S3OutputPathExtension"),
        (Workload(60, 9000, 5), "functions at once, and an account has 1,000"),
        (Workload(60, 5000, 5), "minutes until 500 functions run at once"),
        (Workload(60, 2, 0.01, backlog=1_000_000), "and SQS deletes messages after retention.request_days, 13"),
    ],
)
def test_a_quota_that_is_exceeded_is_named(workload: Workload, says: str) -> None:
    sizing = calculate(workload)
    assert any(says in one for one in sizing.quotas), sizing
    assert says in explain(workload, sizing).partition("Quotas:")[2]


def test_a_usual_workload_exceeds_no_quota() -> None:
    assert calculate(Workload(0.2, 100, 150)).quotas == ()


def test_sparse_messages_have_no_batching_window() -> None:
    assert calculate(Workload(0.2, 1000, 1)).batching_window_seconds == 0


def test_the_cost_of_a_million() -> None:
    cost = cost_per_million(0.2, 10, 512)
    assert cost.lambda_ == pytest.approx(100_000 * (0.1 * 0.0000133334 + 0.0000002))
    assert cost.sqs == pytest.approx(1.2 * 0.4)
    assert cost.s3 == pytest.approx(5.8)
    assert cost.total == pytest.approx(cost.lambda_ + cost.sqs + cost.s3)
    assert cost_per_million(0.2, 10, 512, head_requests=0).s3 == pytest.approx(5)


def test_the_requests_of_the_cost_are_those_of_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[str] = []
    head = FakeBucket.head

    async def counted(self: FakeBucket, key: str, **options: Any) -> ObjectHead | None:
        looked_up.append(key)
        return await head(self, key, **options)

    monkeypatch.setattr(FakeBucket, "head", counted)
    world = World()
    assert world.deliver({"Body": "x"}).status is Status.SUCCEEDED
    assert len(looked_up) == HEAD_REQUESTS


USUAL: dict[str, Any] = {"latency_seconds": 0.2, "concurrent_requests": 20, "arrivals_per_second": 10}


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({"latency_seconds": 0}, "latency_seconds"),
        ({"concurrent_requests": 1}, "concurrent_requests"),
        ({"memory_mb": 64}, "memory_mb"),
        ({"arrivals_per_second": -1}, "arrivals_per_second"),
        ({"backlog": -1}, "backlog"),
        ({"p99_seconds": 0.1}, "p99_seconds"),
        ({"dataset_requests": 1}, "dataset_requests must be 0, or from 2 to 18"),
        ({"dataset_requests": 19}, "dataset_requests"),
        ({"concurrent_requests": 3, "dataset_requests": 2}, "dataset_requests must be 0, because"),
    ],
)
def test_the_error_names_a_field_that_is_out_of_range(changed: dict[str, Any], names: str) -> None:
    with pytest.raises(ValueError, match=names):
        calculate(Workload(**{**USUAL, **changed}))


def test_on_the_command_line() -> None:
    arguments = ["size", "--latency-ms", "200", "--concurrency", "100", "--per-second", "150", "--backlog", "10000"]
    run = CliRunner().invoke(main, arguments)
    assert run.exit_code == 0
    settings = json.loads("{" + run.stdout.partition("Settings:")[2].partition("Expected:")[0] + "}")
    assert Settings.from_context({"endpoint_names": ["wine"]}, settings).concurrent_calls == 50
    assert "a backlog of 10,000 is gone after" in run.stdout
    as_json = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)
    assert as_json["batch_size"] == 50
    assert as_json["cost"]["lambda"] > 0


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"--latency-ms": "0"}, "--latency-ms"),
        ({"--concurrency": "1"}, "--concurrency"),
        ({"--concurrency": "10001"}, "--concurrency"),
        ({"--dataset-concurrency": "99"}, "dataset_requests must be 0, or from 2 to 98"),
        ({"--per-second": "-1"}, "--per-second"),
        ({"--p99-ms": "100"}, "p99_seconds must not be below latency_seconds"),
    ],
)
def test_the_command_names_an_option_that_is_out_of_range(changed: dict[str, str], says: str) -> None:
    given = {"--latency-ms": "200", "--concurrency": "100", "--per-second": "150", **changed}
    run = CliRunner().invoke(main, ["size", *(word for pair in given.items() for word in pair)])
    assert run.exit_code == 2
    assert says in run.stderr
    assert run.stdout == ""


def test_a_queue_that_never_drains_has_valid_json() -> None:
    arguments = ["size", "--latency-ms", "200", "--concurrency", "20", "--per-second", "200", "--json"]
    assert json.loads(CliRunner().invoke(main, arguments).stdout)["drain_seconds"] is None
