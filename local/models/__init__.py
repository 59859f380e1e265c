"""Sample models with SageMaker's container contract, trained at startup on datasets that are part of scikit-learn."""
