"""`make chaos`: runs thousands of requests through injected failures, and audits every one of them."""
