"""A lean transport: the calls of SageMaker and S3 that each request makes, at a fraction of botocore's CPU time.

Its clients take the arguments of boto3's, and return and raise what boto3's would, so that the adapters in `aws/` work
with either. Everything except successful responses is left to boto3 itself.
"""
