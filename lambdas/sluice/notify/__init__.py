"""Completion notifications: from a stored result or failure to a message on an SNS topic."""
