"""`python -m local.chaos.worker`: a Lambda worker and its pollers in one process, which may be killed at any time.

It receives from the functions' queues as event source mappings do, runs the real handlers, and
deletes what they don't return. Some visibility timeouts are short enough to expire under a running call; some records
come in another order, and some once more after they were deleted. A journal says which deliveries were under way.
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
_AGAIN = 0.03  # of the records are delivered once more


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue and the handler that is mapped to it."""

    url: str
    handler: Callable[[dict[str, Any], Any], dict[str, Any]]


class Worker:
    """Polls, handles, deletes; writes each begin and end of a delivery to `journal`."""

    def __init__(self, sqs: Any, journal: Path, seed: int) -> None:
        self._sqs = sqs
        self._journal = journal.open("a", buffering=1)
        self._dice = random.Random(seed)  # noqa: S311 - chaos that can be repeated, not secrets
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
        kept += [record for record in deleted if self._dice.random() < _AGAIN]

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

    def _write(self, what: str, bodies: list[str]) -> None:
        # time.time, for the journals of several processes are laid side by side.
        self._journal.write(json.dumps({"what": what, "at": time.time(), "bodies": bodies}) + "\n")


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
    parser.add_argument("--aws", required=True, help="URL of the local AWS, without the proxy: SQS calls Lambda")
    parser.add_argument("--request-queue", required=True)
    parser.add_argument("--crashed-queue", required=True)
    parser.add_argument("--split-queue", required=True)
    parser.add_argument("--assembly-queue", required=True)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()

    queues = []
    for name, url in (
        ("invoke", given.request_queue),
        ("crashed", given.crashed_queue),
        ("split", given.split_queue),
        ("assemble", given.assembly_queue),
    ):
        function = importlib.import_module(name)  # lambdas/ is on this process's path alone
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
