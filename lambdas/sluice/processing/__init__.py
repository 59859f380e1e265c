"""What happens to one delivery: from an SQS batch to stored outcomes."""
