"""The loop of AWS's samples: boto3, one message after another."""

import json
from typing import Any

import boto3

sagemaker = boto3.client("sagemaker-runtime")
s3 = boto3.client("s3")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001
    """Invoke the endpoint for each record, and store the result."""
    for record in event["Records"]:
        message = json.loads(record["body"])
        response = sagemaker.invoke_endpoint(
            EndpointName=message["EndpointName"], Body=message["Body"], ContentType=message["ContentType"]
        )
        s3.put_object(Bucket="results", Key=f"messages/{record['messageId']}.out", Body=response["Body"].read())
    return {"batchItemFailures": []}
