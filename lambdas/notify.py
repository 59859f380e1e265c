"""The notify function: publishes a notification to an SNS topic for each result and failure that was stored."""

from sluice.bootstrap import notify_function

handler = notify_function()
application = handler.application
