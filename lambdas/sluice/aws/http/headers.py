"""The headers that botocore adds to every request."""

import os
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote

_USER_AGENT = "Sluice/0.1"


def common(headers: Mapping[str, str]) -> dict[str, str]:
    """Return `headers` with the user agent and, in Lambda, the X-Ray trace header of the current invocation.

    The trace header allows Lambda to detect recursive invocations, and X-Ray to assign calls to invocations
    (botocore.handlers.add_recursion_detection_header).
    """
    found = {"user-agent": _USER_AGENT, **headers}
    if (trace := os.environ.get("_X_AMZN_TRACE_ID")) and os.environ.get("AWS_LAMBDA_FUNCTION_NAME"):
        found["x-amzn-trace-id"] = _quoted(trace)
    return found


@lru_cache(maxsize=2)
def _quoted(trace: str) -> str:
    return quote(trace, safe="-=;:+&[]{}\"',")
