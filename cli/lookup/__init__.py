"""Finds requests and their outcomes."""
