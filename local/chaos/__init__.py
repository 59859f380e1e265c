"""`make chaos`: thousands of requests through everything that can go wrong, and an audit of every one of them."""
