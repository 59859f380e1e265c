"""A request to what was deployed."""

import time
import uuid
from collections.abc import Mapping

from botocore.exceptions import ClientError

from local.process import LocalRunError
from local.rehearsal.account import Account
from local.rehearsal.cdk import ROOT

_SECONDS = 60.0
_BODY = (ROOT / "examples" / "wine" / "one.json").read_text()


class NoAnswerError(LocalRunError):
    """A request had no result in a minute."""


def answered(account: Account, outputs: Mapping[str, str]) -> str:
    """Send a message to the deployment with these outputs, and wait for its result. Returns that it was answered.

    Raises `NoAnswerError`.
    """
    (queue_url,) = (value for name, value in outputs.items() if name.endswith("RequestQueueUrl"))
    (bucket,) = (value for name, value in outputs.items() if name.endswith("ResultsBucketName"))
    inference_id = str(uuid.uuid4())
    message = f'{{"EndpointName": "wine", "InferenceId": "{inference_id}", "Body": {_BODY}}}'
    account.client("sqs").send_message(QueueUrl=queue_url, MessageBody=message)
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        try:
            account.client("s3").head_object(Bucket=bucket, Key=f"messages/{inference_id}.out")
        except ClientError:
            time.sleep(0.2)
        else:
            return "a message is answered"
    raise NoAnswerError(f"s3://{bucket}/messages/{inference_id}.out was not stored in {_SECONDS:.0f} s")
