"""OpenAI's Files and Batch API over the buckets of a deployment: `sluice openai-server`."""
