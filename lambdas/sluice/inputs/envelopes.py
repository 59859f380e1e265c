"""The forms in which requests come to a queue.

Accepted are: the JSON message; an SNS envelope or an EventBridge event around one; S3 object-created events in the S3
notification form and in the EventBridge form, with or without an SNS envelope; `s3:TestEvent`; the messages between
the functions themselves.
"""

from typing import Any

from sluice.failures import invalid
from sluice.inputs.internal_messages import internal_request
from sluice.inputs.requests import Ignorable, Input, SentMessage
from sluice.inputs.s3_events import from_event_bridge, from_notification, is_test_event
from sluice.inputs.strict_json import load_json

MAX_ENVELOPES = 3  # EventBridge → SNS → SQS is the deepest that AWS itself builds; one more is tolerated


def parse(body: str) -> list[Input]:
    """The inputs in an SQS message body: one, or one for each record of an S3 notification.

    Raises `Failure` (invalid) when the body has none of the accepted forms.
    """
    raw, field = load_json(body, "message body"), "message body"
    envelopes = 0
    while True:
        if not isinstance(raw, dict):
            raise invalid(field, "must be a JSON object whose keys are InvokeEndpoint parameters")
        if raw.get("Type") == "Notification" and "TopicArn" in raw:
            field = "Message"
            raw = load_json(_text(raw.get("Message")), "Message (of the SNS envelope)")
        elif "detail-type" in raw and "detail" in raw:
            if raw.get("source") == "aws.s3":
                return [from_event_bridge(raw)]
            raw, field = raw["detail"], "detail"
        else:
            return _innermost(raw)
        envelopes += 1
        if envelopes > MAX_ENVELOPES:
            raise invalid("message body", f"is in more than {MAX_ENVELOPES} SNS or EventBridge envelopes")


def _text(message: object) -> str:
    if not isinstance(message, str):
        raise invalid("Message (of the SNS envelope)", "must be text")
    return message


def _innermost(raw: dict[str, Any]) -> list[Input]:
    if is_test_event(raw):
        return [Ignorable("s3:TestEvent")]
    if (internal := internal_request(raw)) is not None:
        return [internal]
    return [*from_notification(raw)] if "Records" in raw else [SentMessage(raw)]
