"""`python -m local.chaos.worker`: a Lambda worker and its pollers in one process, which may be killed at any time.

It receives from the functions' queues like an event source mapping, runs the real handlers, and deletes the messages
that they do not return as failed. Some visibility timeouts expire during a call. Records are delivered in random order,
and some are delivered once more after they were deleted. A journal records the begin and end of each delivery.
"""

import argparse
import importlib
import json
import os
import random
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
from botocore.config import Config

_VISIBILITY_SECONDS = (2, 30, 30, 30)
_FUNCTION_SECONDS = 90
_REDELIVERED = 0.03  # share of the records that are delivered once more


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue and the handler that is mapped to it."""

    url: str
    handler: Callable[[dict[str, Any], Any], dict[str, Any]]


class Worker:
    """Receives, handles and deletes messages; writes the begin and end of each delivery to `journal`."""

    def __init__(self, sqs: Any, journal: Path, seed: int) -> None:
        self._sqs = sqs
        self._journal = journal.open("a", buffering=1)
        self._dice = random.Random(seed)  # noqa: S311 - reproducible chaos, not secrets
        self._kept: dict[str, list[dict[str, Any]]] = defaultdict(list)  # by queue

    def poll(self, queue: Queue) -> None:
        """Handle one batch of `queue`."""
        messages = self._sqs.receive_message(
            QueueUrl=queue.url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=self._dice.choice(_VISIBILITY_SECONDS),
            AttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages", [])
        records = [_record(message) for message in messages]
        self._dice.shuffle(records)
        kept = self._kept[queue.url]
        if kept and self._dice.random() < 0.5:
            records += [record for record in [kept.pop()] if all(r["body"] != record["body"] for r in records)]
        if not records:
            return
        failed = self._handle(queue, records)
        deleted = [record for record in records if record["messageId"] not in failed]
        for record in deleted:
            self._sqs.delete_message_batch(
                QueueUrl=queue.url, Entries=[{"Id": "0", "ReceiptHandle": record["receiptHandle"]}]
            )
        kept += [record for record in deleted if self._dice.random() < _REDELIVERED]

    def _handle(self, queue: Queue, records: list[dict[str, Any]]) -> set[str]:
        deadline = time.monotonic() + _FUNCTION_SECONDS
        context = SimpleNamespace(
            aws_request_id=str(uuid.uuid4()),
            get_remaining_time_in_millis=lambda: (deadline - time.monotonic()) * 1000,
        )
        bodies = [record["body"] for record in records]
        self._write("begin", bodies)
        response = queue.handler({"Records": records}, context)
        self._write("end", bodies)
        return {failure["itemIdentifier"] for failure in response["batchItemFailures"]}

    def _write(self, event: str, bodies: list[str]) -> None:
        # time.time, because the journals of several processes are merged.
        self._journal.write(json.dumps({"event": event, "at": time.time(), "bodies": bodies}) + "\n")


def _record(message: dict[str, Any]) -> dict[str, Any]:
    attributes = {
        name: {"stringValue": value.get("StringValue"), "dataType": value["DataType"]}
        for name, value in message.get("MessageAttributes", {}).items()
    }
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": attributes,
    }


def main() -> None:
    """Work until killed."""
    parser = argparse.ArgumentParser(prog="python -m local.chaos.worker", description=__doc__)
    parser.add_argument("--aws", required=True, help="URL of the local AWS without the proxy, used for polling")
    parser.add_argument("--request-queue", required=True)
    parser.add_argument("--part-queue", required=True)
    parser.add_argument("--crashed-queue", required=True)
    parser.add_argument("--split-queue", required=True)
    parser.add_argument("--assembly-queue", required=True)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()

    queues = []
    for name, url in (
        ("invoke", given.request_queue),
        ("part", given.part_queue),
        ("crashed", given.crashed_queue),
        ("split", given.split_queue),
        ("assemble", given.assembly_queue),
    ):
        function = importlib.import_module(name)  # lambdas/ is only on this process's path
        os.environ["SLUICE_SOURCE_QUEUE_URL"] = url
        function.application()
        queues.append(Queue(url, function.handler))
    sqs = boto3.client("sqs", endpoint_url=given.aws, config=Config(retries={"total_max_attempts": 5}))
    worker = Worker(sqs, given.journal, given.seed)
    while True:
        for queue in queues:
            worker.poll(queue)
        time.sleep(0.01)


if __name__ == "__main__":
    main()
