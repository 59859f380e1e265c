"""`transform/`: a dataset over a live endpoint, record by record answered. Without I/O, like the rest of the core."""
