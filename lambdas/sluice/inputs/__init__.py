"""What may arrive on the queues: the message model, event envelopes, S3 events, identity, and the JSON Schema."""
