"""The invoke function: calls the endpoint for requests."""

from sluice.bootstrap import request_function
from sluice.functions import concurrently

# Files come to this queue when an EventBridge rule sends all events of the bucket to it. Parts come to it when datasets
# have no share of their own, and from functions of an earlier version.
handler = request_function(takes=["call", "file", "part"], run_batch=concurrently)
application = handler.application
