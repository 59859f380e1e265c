"""The words of AWS and of model servers that the failure table searches for, and the codes that mean the same.

`tests/data/service_errors.jsonl` has responses with them as they are on the wire, each with its source.
"""

import re

# The service's own words, at the start of its message: a model's text, which the message quotes, may say anything.
# github.com/RamVegiraju/SageMaker-Deployment/issues/3, github.com/aws/amazon-sagemaker-examples/issues/799
TIMED_OUT = re.compile(
    r"\A(Received server error \(0\) from \S+ with message \")?Your invocation timed out while waiting for a response"
)
# Of status 0 there are also "Amazon SageMaker could not get a response from the … endpoint. This can occur when CPU or
# memory utilization is high." (github.com/aws/amazon-sagemaker-examples/issues/2815 and 3089), and empty texts.

# TorchServe and multi-model-server answer each exception of a handler with 503 and one of these (ts/service.py and
# mms/service.py). With the same status, "has no worker to serve inference request" means a full queue
# (pytorch/serve, docs/Troubleshooting.md).
HANDLER_FAILED = re.compile(r"Prediction failed|Invalid model predict output|number of batch response mismatched")
# The same servers, with 500, when the process that ran the handler has ended (WorkerThread.java;
# github.com/aws-samples/aws-healthcare-lifescience-ai-ml-sample-notebooks/issues/103: no memory was left).
WORKER_DIED = re.compile(r"Worker died")
# 502 is nginx's while the server behind it starts (github.com/aws/amazon-sagemaker-examples/issues/2028), but also
# after some inputs (github.com/aws/sagemaker-tensorflow-serving-container/issues/222).
# 507 is a lack of memory (Developer Guide, "Invoke a Multi-Model Endpoint"; ts/service.py: MemoryError of a handler;
# github.com/aws-samples/amazon-sagemaker-genai-content-moderation/issues/5).

# An inference component that is scaled to zero (Developer Guide, "Scale an endpoint to zero instances").
NO_CAPACITY = re.compile(r"no capacity to process", re.IGNORECASE)
# github.com/aws/amazon-sagemaker-examples/issues/293 and 559
ENDPOINT_NOT_FOUND = re.compile(r"^endpoint\b.*\bnot found|could not find endpoint", re.IGNORECASE | re.DOTALL)
# An endpoint with inference components (github.com/aws-samples/amazon-kendra-langchain-extensions/issues/64).
COMPONENT_MISSING = re.compile(r"inference component name header is required", re.IGNORECASE)
# GetObject without the key of an object that was stored with one (github.com/minio/minio/pull/4894).
CUSTOMER_KEY = re.compile(r"stored using a form of server side encryption", re.IGNORECASE)

CAPACITY = (
    "ModelNotReadyException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
)
NOT_ALLOWED = (
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NoCredentialsError",
    "NotAuthorized",
    "OptInRequired",
    "PermanentRedirect",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
)
# A KMS key that is disabled, deleted or unknown, in the forms of S3, SQS, SNS and KMS (their API references and
# botocore's service models). Not its throttling, its internal errors, and a key store that is out of reach.
KMS_KEY = (
    "DisabledException",
    "KMS.AccessDeniedException",
    "KMS.DisabledException",
    "KMS.InvalidKeyUsageException",
    "KMS.InvalidStateException",
    "KMS.KMSInvalidStateException",
    "KMS.NotFoundException",
    "KMS.OptInRequired",
    "KMSAccessDenied",
    "KMSDisabled",
    "KMSInvalidState",
    "KMSInvalidStateException",
    "KMSNotFound",
    "KMSOptInRequired",
    "KmsAccessDenied",
    "KmsDisabled",
    "KmsInvalidKeyUsage",
    "KmsInvalidState",
    "KmsNotFound",
    "KmsOptInRequired",
    "NotFoundException",
)
# github.com/async-aws/aws/issues/1227 (SQS with 403), API references of KMS, SQS and SNS
THROTTLED = ("KMS.ThrottlingException", "KMSThrottling", "KmsThrottled", "RequestThrottled", "Throttled")
# A queue or a topic that was deleted (SQS and SNS API references).
GONE = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "NotFound")
