"""Log lines and metrics have the formats of Powertools."""

import io
import json
import logging
import re
import uuid
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aws_lambda_powertools import Logger, Metrics
from hypothesis import given
from hypothesis import strategies as st

from sluice.error_codes import FailureClass
from sluice.failures import Failure
from sluice.inputs.identity import Identity
from sluice.processing.outcome import Outcome, Status
from sluice.telemetry import Telemetry

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}[+-]\d{4}")
_TEXT = st.text(max_size=30)


def _logger(stream: io.StringIO, **options: Any) -> Logger:
    # A name of its own: Powertools keeps one logger for each name.
    logger = Logger(
        service=f"telemetry-{uuid.uuid4()}", stream=stream, location=None, serialize_stacktrace=False, **options
    )
    logger.append_keys(function_request_id="r")
    return logger


def _recorded(logger: Logger, *outcomes: Outcome, trace: str | None = None) -> list[dict[str, Any]]:
    """Record `outcomes`, and return the metrics' lines."""
    metrics = io.StringIO()
    with redirect_stdout(metrics):
        telemetry = Telemetry(logger, Metrics(namespace="Sluice", service="Sluice"), trace_header=lambda: trace)
        for outcome in outcomes:
            telemetry.record(outcome)
        telemetry.flush()
    return [json.loads(line) for line in metrics.getvalue().splitlines()]


outcomes = st.builds(
    Outcome,
    message_id=_TEXT,
    status=st.sampled_from(Status),
    identity=st.none() | st.builds(Identity, _TEXT, _TEXT, _TEXT, _TEXT, _TEXT, st.none() | _TEXT),
    endpoint_name=st.none() | _TEXT,
    failure=st.none() | st.builds(Failure, st.sampled_from(FailureClass), _TEXT, _TEXT),
    retry_after_seconds=st.none() | st.integers(0, 900),
    model_latency=st.none() | st.timedeltas(timedelta(0), timedelta(minutes=1)),
    detail=st.none() | _TEXT,
)


@given(outcomes, st.sampled_from([None, "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"]))
def test_a_line_is_the_one_that_powertools_writes(outcome: Outcome, trace: str | None) -> None:
    ours, theirs = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        if trace:
            patch.setenv("_X_AMZN_TRACE_ID", trace)
        _recorded(_logger(ours), outcome, trace=trace)
        fields = json.loads(ours.getvalue())
        their_logger: Any = _logger(theirs)
        written = {"level", "message", "timestamp", "service", "function_request_id", "xray_trace_id"}
        extra = {name: value for name, value in fields.items() if name not in written}
        their_logger.log(getattr(logging, fields["level"]), fields["message"], extra=extra)

    def comparable(line: str) -> str:
        return re.sub("telemetry-[-0-9a-f]{36}", "", _TIMESTAMP.sub("", line))

    assert comparable(ours.getvalue()) == comparable(theirs.getvalue())


@pytest.mark.parametrize(("name", "owner"), [("invoke/a", "version"), ("transform/a", "version"), ("messages/a", None)])
def test_the_line_of_an_object_says_which_version_it_is_of(name: str, owner: str | None) -> None:
    stream = io.StringIO()
    identity = Identity(name, name, "version", "version", "trace", "trace")
    _recorded(_logger(stream), Outcome("1", Status.SUCCEEDED, identity))
    assert json.loads(stream.getvalue()).get("owner") == owner


def test_the_time_of_a_line() -> None:
    stream = io.StringIO()
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    _recorded(_logger(stream), Outcome("1", Status.IGNORED), Outcome("2", Status.IGNORED))
    for line in stream.getvalue().splitlines():
        assert _TIMESTAMP.fullmatch(timestamp := json.loads(line)["timestamp"])
        assert before <= datetime.strptime(timestamp, "%Y-%m-%d %H:%M:%S,%f%z") <= datetime.now(UTC)


@pytest.mark.parametrize(("level", "lines"), [("INFO", 2), ("WARNING", 1), ("ERROR", 0)])
def test_lines_below_the_level_of_the_logger_are_not_written(level: str, lines: int) -> None:
    stream = io.StringIO()
    failure = Failure(FailureClass.MODEL, "Code", "message")
    _recorded(_logger(stream, level=level), Outcome("1", Status.SUCCEEDED), Outcome("2", Status.RETRY, failure=failure))
    assert len(stream.getvalue().splitlines()) == lines


def test_every_latency_is_a_value_of_one_metric() -> None:
    latencies = [float(number) for number in range(250)]
    lines = _recorded(
        _logger(io.StringIO()),
        *(Outcome("1", Status.SUCCEEDED, model_latency=timedelta(milliseconds=one)) for one in latencies),
    )
    assert [value for line in lines for value in line.get("ModelLatency", [])] == latencies
    assert all(len(line["ModelLatency"]) <= 100 for line in lines)
    assert [line["Succeeded"] for line in lines if "Succeeded" in line] == [[250.0]]
    (first, *_) = lines
    assert {"Name": "ModelLatency", "Unit": "Milliseconds"} in first["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    assert first["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service"]]


def test_without_latencies_the_counts_are_one_line() -> None:
    (line,) = _recorded(_logger(io.StringIO()), Outcome("1", Status.IGNORED), Outcome("2", Status.IGNORED))
    assert line["Ignored"] == [2.0]


class _Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(32, "Broken pipe")


@pytest.mark.parametrize("error", [None, RuntimeError("unforeseen")])
def test_a_stream_that_is_broken_changes_no_outcome(error: Exception | None) -> None:
    with redirect_stdout(_Broken()):
        telemetry = Telemetry(
            _logger(_Broken()), Metrics(namespace="Sluice", service="Sluice"), trace_header=lambda: None
        )
        telemetry.record(Outcome("1", Status.RETRY, model_latency=timedelta(1), error=error))
        telemetry.flush()
    assert _recorded(_logger(io.StringIO()), Outcome("2", Status.IGNORED))[0]["Ignored"] == [1.0], (
        "nothing is left over"
    )


def test_a_lone_surrogate_is_escaped() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="utf-8", write_through=True)
    failure = Failure(FailureClass.MODEL, "ModelError", "cut within an emoji: \ud83d")
    _recorded(_logger(stream), Outcome("1", Status.DEAD_LETTERED, failure=failure))  # type: ignore[arg-type]
    assert json.loads(raw.getvalue())["error_message"] == "cut within an emoji: \ud83d"


def test_disabled_metrics_do_not_accumulate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "true")
    outcomes = [Outcome("1", Status.SUCCEEDED, model_latency=timedelta(1))] * 250
    assert _recorded(_logger(io.StringIO()), *outcomes) == []
    monkeypatch.delenv("POWERTOOLS_METRICS_DISABLED")
    assert _recorded(_logger(io.StringIO()), Outcome("2", Status.IGNORED))[0].get("ModelLatency") is None
