"""Finds objects in a bucket that have no outcome yet and enqueues them."""
