"""The notify function: tells SNS topics which results and failures were stored."""

from sluice.notify_function import NotifyFunction

handler = NotifyFunction()
application = handler.application
