"""Powertools' BatchProcessor and Logger, as in its documentation."""

from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

logger = Logger(service="powertools")
processor = BatchProcessor(event_type=EventType.SQS)
sagemaker = boto3.client("sagemaker-runtime")
s3 = boto3.client("s3")


def process(record: SQSRecord) -> None:
    """Invoke the endpoint for one record, and store the result."""
    message = record.json_body
    response = sagemaker.invoke_endpoint(
        EndpointName=message["EndpointName"], Body=message["Body"], ContentType=message["ContentType"]
    )
    s3.put_object(Bucket="results", Key=f"messages/{record.message_id}.out", Body=response["Body"].read())
    logger.info("answered", message_id=record.message_id)


def handler(event: dict[str, Any], context: Any) -> Any:
    """Process each record, and return those that failed."""
    return process_partial_response(event=event, record_handler=process, processor=processor, context=context)
