"""`transform/`: answers a dataset record by record with a live endpoint."""
