"""The core of Sluice: an SQS message in, an inference or an explained failure out.

Imports the standard library and pydantic alone; what talks to AWS is in `adapters`, and `composition` joins
the two.
"""
