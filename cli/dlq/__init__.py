"""`sluice dlq`: what failed for good, by reason; back to work, or away."""
