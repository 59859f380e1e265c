"""Reads, groups, filters and redrives the messages of the dead-letter queue."""
