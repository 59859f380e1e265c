"""The invoke function: calls the endpoint for requests and for parts of files."""

from sluice.bootstrap import request_function
from sluice.functions import concurrently

# Files come to this queue when an EventBridge rule sends all events of the bucket to it.
handler = request_function(takes=["call", "file", "part"], run_batch=concurrently)
application = handler.application
