"""The core of Sluice: an SQS message in, an inference or an explained failure out.

Only `aws/` and `bootstrap` talk to AWS or read the environment; docs/architecture.md describes the packages.
"""
