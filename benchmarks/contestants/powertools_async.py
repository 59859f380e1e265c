"""Powertools' AsyncBatchProcessor, with boto3 in threads."""

import asyncio
from typing import Any

from aws_lambda_powertools.utilities.batch import AsyncBatchProcessor, EventType, async_process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from contestants.powertools import answer

processor = AsyncBatchProcessor(event_type=EventType.SQS)


async def answer_in_a_thread(record: SQSRecord) -> None:
    """Answer one record."""
    await asyncio.to_thread(answer, record)


def handler(event: dict[str, Any], context: Any) -> Any:
    """Answer the records, as many at once as asyncio has threads."""
    return async_process_partial_response(
        event=event, record_handler=answer_in_a_thread, processor=processor, context=context
    )
