"""`make memory`: the peak memory and the CPU time of each transform/ function, with large files.

For a single measurement in a separate process: python memory.py split|invoke|assemble|calls ROWS BYTES PARTS

`calls` are requests of the invoke function whose bodies are whole files.
"""

import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from big import PART
from machine import machine
from measure import CONTEXT, peak_memory_mb, record

_GB = 10**9
_BODY = 25 * 1024 * 1024  # bytes, the most that max_body_bytes may be
_ROOT = Path(__file__).parents[1]
# Function, rows, bytes of the file, parts in one batch, concurrent calls, MB of the function.
_CASES = (
    ("split", "wide", _GB, 1, 1, 512),
    ("split", "wide", 10 * _GB, 1, 1, 512),
    ("invoke", "wide", _GB, 20, 10, 512),
    ("invoke", "wide", 10 * _GB, 20, 10, 512),
    ("invoke", "short", 10 * _GB, 100, 10, 512),
    ("invoke", "joined", 10 * _GB, 20, 10, 512),
    ("invoke", "json", 10 * _GB, 20, 10, 512),
    ("invoke", "wordy", 10 * _GB, 20, 10, 512),
    ("invoke", "long", 10 * _GB, 20, 10, 512),
    ("invoke", "short", 10 * _GB, 200, 50, 512),
    ("invoke", "short", 10 * _GB, 20, 10, 256),
    ("invoke", "huge", _BODY, 1, 1, 210),
    ("calls", "wide", _BODY, 10, 10, 210),
    ("calls", "wide", _BODY, 40, 40, 512),
    ("assemble", "wide", _GB, 1, 1, 512),
    ("assemble", "wide", 10 * _GB, 1, 1, 512),
)


def event(function: str, rows: str, size: int, parts: int) -> dict[str, Any]:
    """An SQS event of a dropped file, of parts of a file, or of a file to assemble."""
    if function == "calls":
        location = f"s3://input/invoke/lines-0/{rows}-{size}.csv"
        names = [{"InferenceId": f"{number}"} for number in range(parts)]
        return {"Records": [record({"InputLocation": location, "EndpointName": "lines-0", **name}) for name in names]}
    done = "done/" if function == "assemble" else ""
    key = f"transform/lines-0/{done}{rows}-{size}.csv"
    file = {"Bucket": "input", "Key": key, "Size": size, "Sequencer": "1", "Etag": "0"}
    if function == "assemble":
        return {"Records": [record({"TransformAssembly": file})]}
    if function == "split":
        dropped = {"bucket": {"name": "input"}, "object": {"key": key, "size": size, "eTag": "0", "sequencer": "1"}}
        events = {"Records": [{"eventSource": "aws:s3", "eventVersion": "2.1", "eventName": "ObjectCreated:Put"}]}
        events["Records"][0] |= {"s3": dropped}  # type: ignore[dict-item]
        return {"Records": [record(events)]}
    ranges = [{"Start": number * PART, "End": (number + 1) * PART} for number in range(parts)]
    return {"Records": [record({"TransformPart": {**file, **one}}) for one in ranges]}


def measure(function: str, rows: str, size: int, parts: int) -> dict[str, float]:
    """Run one batch in this process, and return its time and peak memory."""
    with Path(os.devnull).open("w", encoding="utf-8") as log, redirect_stdout(log):
        wall, cpu = time.perf_counter(), time.process_time()
        module = importlib.import_module("invoke" if function == "calls" else function)
        response = module.handler(event(function, rows, size, parts), CONTEXT)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if response["batchItemFailures"]:
        raise RuntimeError(f"{function} failed")
    return {"seconds": wall, "cpu_seconds": cpu, "peak_mb": peak_memory_mb()}


def main() -> None:
    """Measure one case, or all of them and print a table."""
    if len(sys.argv) == 5:
        function, rows, size, parts = sys.argv[1:]
        sys.stdout.write(json.dumps(measure(function, rows, int(size), int(parts))) + "\n")
        return
    lines = [
        "| function | rows | file | concurrent | function memory | peak MB | CPU seconds |",
        "| --- | --- | ---: |" + " ---: |" * 4,
    ]
    only = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        lambdas = Path(folder, "lambdas")
        shutil.copytree(_ROOT / "lambdas", lambdas, ignore=shutil.ignore_patterns("__pycache__"))
        subprocess.run([sys.executable, "-m", "compileall", "-q", str(lambdas)], check=True)
        for function, rows, size, parts, calls, memory in _CASES:
            if only and function not in only:
                continue
            with machine(Path(folder), lambdas, "big.py", rows) as host:
                # The stub has no file's answer format in its bucket.
                answers = "JSONField:predictions" if rows == "json" else "Lines"
                extra = {
                    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory),
                    "SLUICE_TRANSFORM_DEFAULTS": json.dumps({"AnswerFormat": answers, "MaxPayload": 25}),
                    "SLUICE_MAX_BODY_BYTES": str(_BODY if size == _BODY else 6291456),
                }
                found = host.run("memory.py", function, rows, str(size), str(parts), calls=calls, extra=extra)
            shown = f"{size // _GB} GB" if size >= _GB else f"{size >> 20} MB"
            lines.append(
                f"| {function} | {rows} | {shown} | {calls} | {memory} MB | {found['peak_mb']:.0f} | "
                f"{found['cpu_seconds']:.1f} |"
            )
            sys.stderr.write(f"{lines[-1]} {found['seconds']:.1f} s\n")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
