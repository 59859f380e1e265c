"""The invoke function: requests and parts of files, an SQS batch in, a partial batch response out."""

from sluice.function import Function, at_once

# Files come here when an EventBridge rule sends the whole bucket's events to the request queue.
handler = Function(takes=["call", "file", "part"], work=at_once)
application = handler.application
