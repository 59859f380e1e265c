"""HeadObject of an object that must be there."""

from sluice.failures import Operation, ServiceError
from sluice.ports import Bucket, ObjectHead


async def require_head(bucket: Bucket, key: str, operation: Operation) -> ObjectHead:
    """The newest version of an object, without its content. Raises `ServiceError`, with status 404 if it is gone."""
    head = await bucket.head(key)
    if head is None:
        raise ServiceError(operation, "NoSuchKey", "The specified key does not exist.", status=404)
    return head
