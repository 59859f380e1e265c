"""A SageMaker-compatible endpoint: the runtime's wire protocol before any container of SageMaker's contract."""
