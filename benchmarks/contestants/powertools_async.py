"""Powertools' AsyncBatchProcessor, with boto3 in threads."""

import asyncio
from typing import Any

from aws_lambda_powertools.utilities.batch import AsyncBatchProcessor, EventType, async_process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from contestants.powertools import process

processor = AsyncBatchProcessor(event_type=EventType.SQS)


async def process_in_a_thread(record: SQSRecord) -> None:
    """Process one record in a thread."""
    await asyncio.to_thread(process, record)


def handler(event: dict[str, Any], context: Any) -> Any:
    """Process the records, as many concurrently as asyncio has threads."""
    return async_process_partial_response(
        event=event, record_handler=process_in_a_thread, processor=processor, context=context
    )
