"""aiobotocore with clients that outlive the invocation: about the best that is written by hand today."""

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

loop = asyncio.new_event_loop()
stack = AsyncExitStack()


async def clients() -> tuple[Any, Any]:
    """SageMaker's and S3's."""
    session, config = get_session(), AioConfig(max_pool_connections=1000)
    return (
        await stack.enter_async_context(session.create_client("sagemaker-runtime", config=config)),
        await stack.enter_async_context(session.create_client("s3", config=config)),
    )


sagemaker, s3 = loop.run_until_complete(clients())


async def answer(record: dict[str, Any]) -> None:
    """Answer one record."""
    message = json.loads(record["body"])
    response = await sagemaker.invoke_endpoint(
        EndpointName=message["EndpointName"], Body=message["Body"], ContentType=message["ContentType"]
    )
    body = await response["Body"].read()
    await s3.put_object(Bucket="results", Key=f"messages/{record['messageId']}.out", Body=body)


async def answer_all(records: list[dict[str, Any]]) -> None:
    """Answer the records, all at once."""
    await asyncio.gather(*(answer(record) for record in records))


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001
    """Answer the records."""
    loop.run_until_complete(answer_all(event["Records"]))
    return {"batchItemFailures": []}
