"""The assemble function: joins the answered parts of a file."""

from sluice.bootstrap import request_function
from sluice.functions import one_by_one

handler = request_function(takes=["assembly"], run_batch=one_by_one)
application = handler.application
