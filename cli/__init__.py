"""What users run beside a deployment."""
