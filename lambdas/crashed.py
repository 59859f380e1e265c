"""The crashed function: dead-letters, with a reason, what SQS itself moved off the other functions' queues."""

from sluice.bootstrap import request_function
from sluice.functions import dead_letter_crashed

handler = request_function(takes=["call", "file", "part", "assembly"], run_batch=dead_letter_crashed)
application = handler.application
