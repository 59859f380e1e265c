"""Sample models behind SageMaker's container contract, trained at start on data that ships with scikit-learn."""
