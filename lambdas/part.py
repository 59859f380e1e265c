"""The part function: calls the endpoint for the parts of files, so that live requests wait for none of them."""

from sluice.bootstrap import request_function
from sluice.functions import concurrently

handler = request_function(takes=["part"], run_batch=concurrently)
application = handler.application
