"""Measures a cold start in a separate process. Run by `run.py`; prints one line of JSON.

    python cold.py CONTESTANT STARTED_NS

STARTED_NS is the monotonic clock at the time the process was started. Times are wall times, because a cold start does
not share its CPU.
"""

import json
import os
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

contestant, started = sys.argv[1], int(sys.argv[2])
with Path(os.devnull).open("w", encoding="utf-8") as log, redirect_stdout(log):
    if contestant == "sluice":
        from contestants.sluice import handler
    else:
        # The imports and clients of a function with the same features that is written the usual way.
        import boto3
        from aws_lambda_powertools import Logger, Metrics
        from contestants.powertools import handler
        from pydantic import BaseModel

        class Message(BaseModel):
            """A message."""

            EndpointName: str
            Body: str
            ContentType: str = "text/csv"

        boto3.client("sqs")
        Logger(service="usual"), Metrics(service="usual", namespace="usual")
    ready = time.monotonic_ns()
    cpu = time.process_time()
    from measure import CONTEXT, event

    handler(event(0, 1), CONTEXT)
    answered = time.monotonic_ns()
    result = {
        "ready_ms": (ready - started) / 1e6,
        "ready_cpu_ms": cpu * 1000,
        "first_answer_ms": (answered - started) / 1e6,
        "first_answer_cpu_ms": time.process_time() * 1000,
    }
sys.stdout.write(json.dumps(result) + "\n")
