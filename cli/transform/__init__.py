"""Files under `transform/`: sending records again that have no answer."""
