"""A SageMaker-compatible endpoint: the runtime's wire protocol in front of any SageMaker-compatible container."""
