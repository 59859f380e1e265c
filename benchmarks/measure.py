"""Measures the first batch and the warm batches of one contestant. Run by `run.py`; prints one line of JSON.

python measure.py CONTESTANT LATENCY_MS BATCH WARM_BATCHES PAUSE_SECONDS [CGROUP_PROCS]
"""

import importlib
import json
import os
import resource
import statistics
import sys
import time
import uuid
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_BODY = ",".join(f"{n}.5" for n in range(40))
_DESCRIPTORS = 1024  # of a function (Lambda Developer Guide, "Lambda quotas")
CONTEXT = SimpleNamespace(
    aws_request_id="c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
    function_name="invoke",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:invoke",
    get_remaining_time_in_millis=lambda: 900_000,
)


def record(body: object) -> dict[str, Any]:
    """A record of an SQS event."""
    now = str(int(time.time() * 1000))
    return {
        "messageId": str(uuid.uuid4()),
        "receiptHandle": "AQEB",
        "body": json.dumps(body),
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": now,
            "SenderId": "AROAEXAMPLEFUNCTION01:split",
            "ApproximateFirstReceiveTimestamp": now,
        },
        "messageAttributes": {},
        "md5OfBody": "",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:request",
        "awsRegion": "eu-west-1",
    }


def event(latency_ms: int, batch: int) -> dict[str, Any]:
    """An SQS event of messages to the endpoint with that latency."""
    message = {"EndpointName": f"latency-{latency_ms}", "Body": _BODY, "ContentType": "text/csv"}
    return {"Records": [record(message) for _ in range(batch)]}


def run(contestant: str, latency_ms: int, batch: int, warm: int, pause_seconds: float) -> dict[str, float]:
    """Measure one contestant. The warm batch is the median of `warm` batches."""
    # A file, so that logging has the cost of writing, as in Lambda.
    with Path(os.devnull).open("w", encoding="utf-8") as log, redirect_stdout(log):
        handler = importlib.import_module(f"contestants.{contestant}").handler
        walls, cpus = [], []
        for _ in range(1 + warm):
            one = event(latency_ms, batch)
            wall, cpu = time.perf_counter(), time.process_time()
            response = handler(one, CONTEXT)
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
            if response["batchItemFailures"]:
                raise RuntimeError(f"{contestant} failed: {response['batchItemFailures'][:1]}")
            time.sleep(pause_seconds)  # so that one batch doesn't use the CPU quota of the next
    return {
        "first_batch_seconds": walls[0],
        "warm_batch_seconds": statistics.median(walls[1:]),
        "cpu_ms_per_message": 1000 * statistics.median(cpus[1:]) / batch,
        "peak_memory_mb": peak_memory_mb(),
    }


def peak_memory_mb() -> float:
    """The peak memory of this process."""
    # Not ru_maxrss, which includes the memory of the process that this one was forked from.
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def main() -> None:
    """Enter the cgroup, if one is given, and run the measurement."""
    contestant, latency_ms, batch, warm, pause, *procs = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, _DESCRIPTORS))
    if procs:
        Path(procs[0]).write_text(str(os.getpid()))
    result = run(contestant, int(latency_ms), int(batch), int(warm), float(pause))
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
