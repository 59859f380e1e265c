"""Measures the rows of a file: with one or many rows per call by Sluice, and by a boto3 loop. Prints one line of JSON.

python transform.py multi|single|loop LATENCY_MS ROWS
"""

import importlib
import json
import os
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from measure import CONTEXT, record
from stub import ROW, ROWS


def parts(kind: str, latency_ms: int, rows: int) -> dict[str, Any]:
    """An SQS event of one part of a file, with `rows` rows."""
    part = {
        "Bucket": "input",
        "Key": f"transform/lines-{latency_ms}/{kind}.csv",
        "Size": len(ROW) * ROWS,
        "Sequencer": "1",
        "Etag": "0",
        "Start": 0,
        "End": len(ROW) * rows,
    }
    return {"Records": [record({"TransformPart": part})]}


def loop(latency_ms: int, rows: int) -> None:
    """The simplest script: one boto3 call per row, and one PutObject."""
    from contestants.naive import s3, sagemaker  # noqa: PLC0415 - only needed here

    answers = [
        sagemaker.invoke_endpoint(EndpointName=f"lines-{latency_ms}", Body=ROW, ContentType="text/csv")["Body"].read()
        for _ in range(rows)
    ]
    s3.put_object(Bucket="results", Key="rows.csv.out", Body=b"".join(answers))


def main() -> None:
    """Run once to warm up, and once to measure."""
    kind, latency_ms, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with Path(os.devnull).open("w", encoding="utf-8") as log, redirect_stdout(log):
        for warm_up in (True, False):
            count = min(rows, 20) if warm_up else rows
            wall, cpu = time.perf_counter(), time.process_time()
            if kind == "loop":
                loop(latency_ms, count)
            else:
                handler = importlib.import_module("contestants.sluice").handler
                response = handler(parts(kind, latency_ms, count), CONTEXT)
                if response["batchItemFailures"]:
                    raise RuntimeError(f"{kind} failed")
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    calls = 1 if kind == "multi" else rows
    result = {
        "records_per_second": rows / wall,
        "calls_per_record": calls / rows,
        "cpu_ms_per_record": 1000 * cpu / rows,
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
