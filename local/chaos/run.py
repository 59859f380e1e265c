"""Runs the chaos test: sends requests, injects failures, waits until the queues are empty, and audits the outcomes."""

import contextlib
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console
from rich.progress import Progress

from local import aws
from local.chaos.audit import Observed, Report, audit
from local.chaos.datasets import audit_datasets, datasets
from local.chaos.requests import ENDPOINT, ChaosRequest, requests
from local.chaos.second_audit import second_audit
from local.engine import Engine, running
from local.process import Child, free_port

_LAMBDAS = Path(__file__).parents[2] / "lambdas"
SETTINGS = {"retry": {"max_receive_count": 12, "base_seconds": 1, "cap_seconds": 2}, "concurrent_requests": 20}
_READ_TIMEOUT_SECONDS = 2
_WORKERS = 3
_STORAGE_FAULTS = 0.03
_LIMIT_SECONDS = 900.0
_ROUNDS_PER_KILL = 4
_NO_KILLS_BELOW = 60  # waiting messages
_REQUESTS_PER_DATASET = 400

# Shares of the calls; the first rule that applies determines the fault. Two of three receives still reach the model.
_FAULTS: list[dict[str, Any]] = [
    {"fault": "delay", "delay_seconds": 1.5, "body_contains": "slow"},
    {"fault": "timeout", "share": 0.002},
    {"fault": "ValidationError", "message": "Endpoint chaos of account 000000000000 not found.", "share": 0.01},
    *(
        {"fault": fault, "share": share}
        for fault, share in {
            "ThrottlingException": 0.08,
            "ServiceUnavailable": 0.03,
            "ModelNotReadyException": 0.02,
            "capacity": 0.02,
            "InternalFailure": 0.03,
            "InternalDependencyException": 0.01,
            "AccessDeniedException": 0.01,
            "ExpiredTokenException": 0.01,
            "MissingAuthenticationTokenException": 0.005,
            "UnrecognizedClientException": 0.005,
            "garbage": 0.01,
            "drop": 0.01,
            "cut": 0.01,
            "hang": 0.004,
        }.items()
    ),
]
_STORM = [{"fault": "ThrottlingException"}]


class Failures:
    """Runs the workers, and injects failures into them and the endpoint."""

    def __init__(self, engine: Engine, proxy_url: str, directory: Path, seed: int) -> None:
        self._engine = engine
        self._directory = directory
        self._dice = random.Random(seed)  # noqa: S311 - reproducible chaos, not secrets
        self._started = 0
        self.kills = 0
        self.storms = 0
        configuration = engine.clients.lambda_.get_function_configuration(
            FunctionName=engine.outputs["InvokeFunctionName"]
        )
        queues = {"request": engine.request_queue_url}
        for name in ("Part", "Crashed", "Split", "Assembly"):
            queues[name.lower()] = next(url for url in _queues(engine) if f"{name}Queue" in url)
        self._arguments = ["--aws", engine.url]
        for name, url in queues.items():
            self._arguments += [f"--{name}-queue", url]
        self._environment = {
            **aws.environment(),
            **configuration["Environment"]["Variables"],
            "PYTHONPATH": str(_LAMBDAS),
            "AWS_ENDPOINT_URL": proxy_url,
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": engine.sagemaker_runtime_url,
            "SLUICE_READ_TIMEOUT_SECONDS": str(_READ_TIMEOUT_SECONDS),
            "SLUICE_INTERNAL_SENDERS": aws.ACCOUNT,  # the workers have the credentials of the account, not of a role
            "POWERTOOLS_LOG_LEVEL": "ERROR",
        }
        self._workers = [self._worker() for _ in range(_WORKERS)]
        self.queue_urls = tuple(queues.values())

    @property
    def journals(self) -> list[Path]:
        """The workers' journals of their deliveries."""
        return sorted(self._directory.glob("journal-*"))

    def kill_one(self) -> None:
        """Kill a worker, and start a new one."""
        number = self._dice.randrange(_WORKERS)
        self._workers[number].kill()
        self._workers[number] = self._worker()
        self.kills += 1

    def storm(self, *, on: bool) -> None:
        """Have the endpoint throttle every call, or return to its usual faults."""
        self.storms += on
        rules = _STORM if on else [{**rule, "seed": index} for index, rule in enumerate(_FAULTS)]
        url = f"{self._engine.sagemaker_runtime_url}/_faults"
        httpx2.put(url, json={"rules": rules}, trust_env=False).raise_for_status()

    def stop(self) -> None:
        """Stop the workers."""
        for worker in self._workers:
            worker.kill()

    def _worker(self) -> Child:
        self._started += 1
        journal = self._directory / f"journal-{self._started:04}"
        journal.touch()
        return Child(
            "local.chaos.worker",
            [*self._arguments, "--journal", str(journal), "--seed", str(self._dice.randrange(2**32))],
            health=None,
            log=self._directory / "workers.log",
            environment=self._environment,
        )


def run(directory: Path, count: int, seed: int) -> int:
    """Run `count` requests with `seed`, print the audit, and return the exit code: 0 if there are no violations."""
    console = Console(highlight=False, width=None if Console().is_terminal else 120)
    directory = directory / f"seed-{seed}"
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("journal-*"):
        old.unlink()
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        container, proxy_port = free_port(), free_port()
        _child(stack, "container", ["--port", str(container)], f"http://127.0.0.1:{container}/ping", directory)
        with console.status("Starting the local run…"):
            engine = stack.enter_context(
                running(directory / "engine", SETTINGS, {ENDPOINT: f"http://127.0.0.1:{container}"})
            )
        _unmap(engine)
        proxy_url = f"http://127.0.0.1:{proxy_port}"
        lost = directory / "lost-sends"
        lost.write_text("")
        faults = ["--upstream", engine.url, "--share", str(_STORAGE_FAULTS), "--seed", str(seed), "--lost", str(lost)]
        _child(stack, "proxy", ["--port", str(proxy_port), *faults], f"{proxy_url}/_health", directory)
        failures = Failures(engine, proxy_url, directory, seed)
        stack.callback(failures.stop)
        failures.storm(on=False)
        files = list(datasets(max(1, count // _REQUESTS_PER_DATASET), seed))
        for one in files:
            engine.clients.s3.put_object(Bucket=engine.input_bucket, Key=one.key, Body=one.body)
        with ThreadPoolExecutor(1) as executor:
            sending = executor.submit(_send_all, engine, list(requests(count, seed, engine.input_bucket)))
            ended = _wait(engine, failures, console, count, sending)
            sent = sending.result()
        failures.stop()
        also_violated = second_audit(engine.url)  # before the dead letters are received
        observed = _observe(engine, failures.journals, lost)
        file_letters = [letter for letter in observed.letters if b"transform/" in letter[0]]
        report = audit(sent, replace(observed, letters=[one for one in observed.letters if one not in file_letters]))
        counts, violations = audit_datasets(files, observed.results, file_letters)
        report.counts.update(counts)
        report.violations += violations + also_violated
    if not ended:
        report.violations.append(f"requests were still on the queues after {_LIMIT_SECONDS:.0f} s")
    report.counts["workers killed"] = failures.kills
    report.counts["storms, in which the endpoint throttled all calls"] = failures.storms
    return _print(console, report, seed, time.monotonic() - began)


def _child(stack: contextlib.ExitStack, module: str, arguments: list[str], health: str, directory: Path) -> None:
    log = directory / f"{module}.log"
    child = Child(f"local.chaos.{module}", arguments, health=health, log=log, environment=aws.environment())
    stack.callback(child.stop)
    child.wait_ready()


def _queues(engine: Engine) -> list[str]:
    return engine.clients.sqs.list_queues()["QueueUrls"]


def _unmap(engine: Engine) -> None:
    """Delete the event source mappings: the workers replace Lambda, because they can be killed at any time."""
    for mapping in engine.clients.lambda_.list_event_source_mappings()["EventSourceMappings"]:
        engine.clients.lambda_.delete_event_source_mapping(UUID=mapping["UUID"])


def _send_all(engine: Engine, chaos_requests: Sequence[ChaosRequest]) -> list[ChaosRequest]:
    """Send all requests, several concurrently; the order of each key is kept. Return them with their names."""
    by_key: dict[str, list[ChaosRequest]] = {}
    for number, one in enumerate(chaos_requests):
        by_key.setdefault(one.key or str(number), []).append(one)

    def send_group(group: list[ChaosRequest]) -> list[ChaosRequest]:
        return [_send(engine, one) for one in group]

    with ThreadPoolExecutor(4) as executor:
        return [one for group in executor.map(send_group, by_key.values()) for one in group]


def _send(engine: Engine, one: ChaosRequest) -> ChaosRequest:
    if one.key is not None:
        engine.clients.s3.put_object(
            Bucket=engine.input_bucket, Key=one.key, Body=one.body, Metadata={"trace-id": one.inference_id or ""}
        )
        return one
    for _ in range(one.times):
        sent = engine.clients.sqs.send_message(QueueUrl=engine.request_queue_url, MessageBody=one.body.decode())
    return one if one.name else replace(one, name=f"messages/{sent['MessageId']}")


def _wait(
    engine: Engine, failures: Failures, console: Console, count: int, sending: "Future[list[ChaosRequest]]"
) -> bool:
    """Inject failures until all requests are sent and the queues are empty. Return False if that takes too long."""
    deadline = time.monotonic() + _LIMIT_SECONDS
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("Requests ended", total=count)
        rounds = 0
        while time.monotonic() < deadline:
            time.sleep(0.7)
            rounds += 1
            all_sent = sending.done()
            left = sum(_left(engine, url) for url in failures.queue_urls)
            progress.update(task, completed=max(0, count - left) if all_sent else 0)
            if all_sent and not left:
                return True
            # Kills are far enough apart for a worker to start. There are none at the end, so that the queues empty.
            if (not all_sent or left > max(_NO_KILLS_BELOW, count // 50)) and rounds % _ROUNDS_PER_KILL == 0:
                failures.kill_one()
            if rounds % 16 in {0, 2}:
                failures.storm(on=rounds % 16 == 0)
    return False


def _left(engine: Engine, url: str) -> int:
    attributes = engine.clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return sum(int(number) for name, number in attributes.items() if name.startswith("ApproximateNumberOfMessages"))


def _observe(engine: Engine, journals: list[Path], lost: Path) -> Observed:
    s3, bucket = engine.clients.s3, engine.results_bucket
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]

    def read(key: str) -> tuple[bytes, Mapping[str, str]]:
        stored = s3.get_object(Bucket=bucket, Key=key)
        return stored["Body"].read(), stored["Metadata"]

    with ThreadPoolExecutor(8) as executor:
        results = dict(zip(keys, executor.map(read, keys), strict=True))
    letters = []
    while messages := engine.clients.sqs.receive_message(
        QueueUrl=engine.dead_letter_queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    ).get("Messages"):
        for message in messages:
            attributes = {name: value["StringValue"] for name, value in message.get("MessageAttributes", {}).items()}
            letters.append((message["Body"].encode(), attributes))
    billed: dict[str, int] = {}
    for call in httpx2.get(f"{engine.sagemaker_runtime_url}/_calls", trust_env=False, timeout=60).json()["Calls"]:
        if call["Billed"]:
            billed[call["InferenceId"]] = billed.get(call["InferenceId"], 0) + 1
    lost_sends = Counter(json.loads(line).encode() for line in lost.read_text().splitlines())
    return Observed(results, letters, billed, journals, lost_sends)


def _print(console: Console, report: Report, seed: int, seconds: float) -> int:
    console.print(f"Seed {seed}, {seconds:.0f} s:")
    for name, number in report.rows():
        console.print(f"{number:7,}  {name}")
    console.print(f"{len(report.violations):7,}  violations of the guarantee")
    for line in report.violations[:20]:
        console.print(f"         {line}", style="red")
    return 1 if report.violations else 0


def interrupt_on_sigterm() -> None:
    """Handle SIGTERM like Ctrl-C, so that child processes are stopped."""
    signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
