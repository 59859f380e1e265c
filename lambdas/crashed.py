"""The crashed function: gives a reason to what SQS itself took from the other functions' queues."""

from sluice.function import Function, buried

handler = Function(takes=["call", "file", "part", "assembly"], work=buried)
application = handler.application
