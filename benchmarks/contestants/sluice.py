"""Sluice's own handler, with all that it does: validation, the look, conditional writes, logging, metrics."""

from invoke import application, handler

application()

__all__ = ["handler"]
