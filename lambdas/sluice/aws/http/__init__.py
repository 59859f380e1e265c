"""A lean transport: the hot calls to SageMaker and S3 at a fraction of botocore's CPU time.

Its clients take the arguments of boto3's and return and raise what boto3's would, so that `adapters` can't tell which
it was given. All but the sunny path they leave to boto3 itself.
"""
