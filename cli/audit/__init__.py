"""Checks that every request of a deployment has exactly one outcome. Nothing is changed, and no message is received."""
