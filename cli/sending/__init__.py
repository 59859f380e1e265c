"""Composes messages and uploads files."""
