"""Sends one request to Sluice, and waits for its answer. Needs boto3."""

import json
import os
import time
import uuid

import boto3

sqs = boto3.client("sqs")
s3 = boto3.client("s3")


def send(body, inference_id):
    """Put one request on the queue: InvokeEndpoint's parameters, as JSON."""
    request = {
        "EndpointName": "wine",
        "Body": body,
        "InferenceId": inference_id,
        "TraceId": "checkout-42",
    }
    sqs.send_message(QueueUrl=os.environ["REQUEST_QUEUE_URL"], MessageBody=json.dumps(request))


def answer(inference_id, timeout_seconds=300):
    """What the model returned. Raises RuntimeError when the request failed, TimeoutError when it still runs."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        for suffix in (".out", ".err"):
            try:
                stored = s3.get_object(Bucket=os.environ["RESULTS_BUCKET"], Key=f"messages/{inference_id}{suffix}")
            except s3.exceptions.NoSuchKey:
                continue
            if suffix == ".out":
                return stored["Body"].read()
            failure = json.load(stored["Body"])
            raise RuntimeError(f"{failure['ErrorCode']}: {failure['ErrorMessage']}")
        time.sleep(1)
    raise TimeoutError(f"no answer to {inference_id} after {timeout_seconds} s")


if __name__ == "__main__":
    # Your own ID of the piece of work: sent twice, it is answered once.
    order = f"order-{uuid.uuid4()}"
    send({"instances": [[13.28, 1.64, 2.84, 15.5, 110.0, 2.6, 2.68, 0.34, 1.36, 4.6, 1.09, 2.78, 880.0]]}, order)
    print(answer(order).decode())
