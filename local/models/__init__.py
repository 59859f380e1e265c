"""Sample models with SageMaker's container contract, made at startup: of scikit-learn's datasets, and of the docs."""
