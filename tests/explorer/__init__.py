"""Explores every schedule of small scenarios: which delivery takes the next step, and which one is killed."""
