"""The operator, who redrives dead letters and retries datasets as the commands of `sluice` do."""

import json
from collections import Counter

from cli.dlq.dead_letter import DeadLetter
from cli.dlq.routing import MessageBuilder, sender_attributes_in
from cli.lookup.failures import ErrorKey
from sluice.failures import Failure
from sluice.inputs.internal_messages import body_of
from sluice.inputs.requests import DroppedObject, TransformRetry
from sluice.keys import OUT, is_dataset
from sluice.ports import Attribute
from sluice.processing.result import owner_of
from tests.simulation.log import client_in
from tests.simulation.services import Services
from tests.simulation.sqs import Message

SENDER = "AIDAEXAMPLEOPERATOR01"
_EVERY_SECONDS = 150.0
_EVER, _SHARE = 0.4, 0.3  # of the messages are redriven at all; of their dead letters, each time
_MOST = 2  # redrives of one message body
_MAX_BYTES = 1024 * 1024


class Operator:
    """Redrives some of the dead letters now and then."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._builder = MessageBuilder(services.settings, lambda kind: kind, {}, _MAX_BYTES)
        self._redriven: Counter[str] = Counter()

    def plan(self, until: float) -> None:
        """Redrive until a virtual time, in seconds."""
        at = _EVERY_SECONDS
        while at < until:
            self._services.at(at, self._redrive)
            self._services.at(at + 1, self._retry)
            at += _EVERY_SECONDS

    def _redrive(self) -> None:
        for message in list(self._services.dead_letters.messages.values()):
            name = f"{message.message_id} {self._services.scheduler.time:.0f}"
            if (
                self._redriven[message.body] < _MOST
                and self._services.faults.occurs("redrives", message.body, _EVER)
                and self._services.faults.occurs("redrives", name, _SHARE)
            ):
                self._redriven[message.body] += 1
                self._send(message)

    def _retry(self) -> None:
        """Send the failed records of some of the datasets again, also of those that are being retried or replaced."""
        services = self._services
        inputs = services.bucket("input")
        for key in [key for key in services.results.versions if is_dataset(key) and key.endswith(OUT)]:
            out, upload = services.results.current(key), inputs.current(key.removesuffix(OUT))
            name = f"retry {key} {services.scheduler.time:.0f}"
            is_finished = out is not None and upload is not None and out.metadata.get("failed", "0") != "0"
            if out is None or upload is None or not is_finished or not services.faults.occurs("redrives", name, _SHARE):
                continue
            services.faults.counts["retries of datasets"] += 1
            file = DroppedObject(
                "input",
                key.removesuffix(OUT),
                len(upload.body or b""),
                upload.version_id,
                upload.sequencer,
                upload.etag,
            )
            services.split.send(
                body_of(TransformRetry(file)), {}, sender_id=SENDER, name=name, client=client_in(file.key)
            )

    def _is_there(self, error: ErrorKey) -> bool:
        head = self._services.results.head(error.key)
        return head is not None and owner_of(head) == error.owner

    def _send(self, message: Message) -> None:
        services = self._services
        letter = DeadLetter.from_message(
            {
                "MessageId": message.message_id,
                "ReceiptHandle": message.receipt_handle,
                "Body": message.body,
                "Attributes": {"SentTimestamp": message.record()["attributes"]["SentTimestamp"]},
                "MessageAttributes": {name: {"StringValue": one.value} for name, one in message.attributes.items()},
            }
        )
        documents = [services.results.get(one.key).body for one in self._builder.errors(letter) if self._is_there(one)]
        try:
            outgoing = self._builder.build(letter, sender_attributes_in(json.loads(documents[0])) if documents else {})
        except Failure as failure:
            services.log.write("operator", "redrive", message.message_id, failure.message)
            return
        queue = services.split if outgoing.queue_url == "file" else services.request
        services.faults.counts["redrives"] += 1
        attributes = {name: Attribute(value) for name, value in outgoing.attributes.items()}
        queue.send(
            outgoing.body, attributes, sender_id=SENDER, name=f"redrive {message.message_id}", client=message.client
        )
        # Killed before it deletes the dead letter, the operator redrives it again.
        if not services.faults.occurs("duplicates", f"redrive {message.message_id}", 0.03):
            services.dead_letters.take(message)
