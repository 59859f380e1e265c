"""How outcomes are stored, whatever they are of."""

from collections.abc import Callable
from typing import TypeVar

from sluice.failures import FailureClass, ServiceError, classify
from sluice.ports import Results
from sluice.processing.result import ERR

_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)  # seconds; besides what botocore itself tries again

_T = TypeVar("_T")


def retry_transient(store: Callable[[], _T], sleep: Callable[[float], None]) -> _T:
    """`store()`, tried again while it is S3's trouble: what it stores has been paid for, giving up means to pay again.

    Raises what `store` raises.
    """
    for pause in _PAUSES:
        try:
            return store()
        except ServiceError as error:
            if classify(error).failure_class is not FailureClass.TRANSIENT:
                raise
            sleep(pause)
    return store()


def clear_failure(results: Results, name: str) -> None:
    """Remove the `.err` of an earlier try, if there is one: deleting what isn't there leaves a delete marker."""
    key = name + ERR
    if results.head(key) is not None:
        results.delete(key)
