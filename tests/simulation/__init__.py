"""A seeded simulation of thousands of clients: the real core on simulated S3, SQS and endpoint, in virtual time."""
