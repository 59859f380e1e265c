"""Sluice's own handler, with validation, the check for a result, conditional writes, logging and metrics."""

from invoke import application, handler

application()

__all__ = ["handler"]
