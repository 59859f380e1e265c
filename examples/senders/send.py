"""Sends one request to Sluice, and waits for its result. Requires boto3."""

import json
import os
import time
import uuid

import boto3

sqs = boto3.client("sqs")
s3 = boto3.client("s3")


def send(body, inference_id):
    """Send one request to the queue: InvokeEndpoint's parameters as JSON."""
    request = {
        "EndpointName": "wine",
        "Body": body,
        "InferenceId": inference_id,
        "TraceId": "checkout-42",
    }
    sqs.send_message(QueueUrl=os.environ["REQUEST_QUEUE_URL"], MessageBody=json.dumps(request))


def wait_for_result(inference_id, timeout_seconds=300):
    """Return the model's response. Raise RuntimeError if the request failed, TimeoutError if it has no outcome yet."""
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
    raise TimeoutError(f"no result for {inference_id} after {timeout_seconds} s")


if __name__ == "__main__":
    # A unique ID for this request: if it is sent twice, it is processed once.
    order = f"order-{uuid.uuid4()}"
    send({"instances": [[13.28, 1.64, 2.84, 15.5, 110.0, 2.6, 2.68, 0.34, 1.36, 4.6, 1.09, 2.78, 880.0]]}, order)
    print(wait_for_result(order).decode())
