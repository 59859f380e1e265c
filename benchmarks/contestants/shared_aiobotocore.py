"""aiobotocore with clients that are reused by later invocations: a well-optimized handler of the usual kind."""

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

loop = asyncio.new_event_loop()
stack = AsyncExitStack()


async def clients() -> tuple[Any, Any]:
    """Create the clients for SageMaker and S3."""
    session, config = get_session(), AioConfig(max_pool_connections=1000)
    return (
        await stack.enter_async_context(session.create_client("sagemaker-runtime", config=config)),
        await stack.enter_async_context(session.create_client("s3", config=config)),
    )


sagemaker, s3 = loop.run_until_complete(clients())


async def process(record: dict[str, Any]) -> None:
    """Invoke the endpoint for one record, and store the result."""
    message = json.loads(record["body"])
    response = await sagemaker.invoke_endpoint(
        EndpointName=message["EndpointName"], Body=message["Body"], ContentType=message["ContentType"]
    )
    body = await response["Body"].read()
    await s3.put_object(Bucket="results", Key=f"messages/{record['messageId']}.out", Body=body)


async def process_all(records: list[dict[str, Any]]) -> None:
    """Process all records concurrently."""
    await asyncio.gather(*(process(record) for record in records))


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001
    """Process the records of an SQS event."""
    loop.run_until_complete(process_all(event["Records"]))
    return {"batchItemFailures": []}
