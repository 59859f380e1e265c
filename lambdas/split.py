"""The split function: sends a message for each part of a file that was dropped under transform/."""

from sluice.bootstrap import request_function
from sluice.functions import one_by_one

handler = request_function(takes=["file"], run_batch=one_by_one)
application = handler.application
