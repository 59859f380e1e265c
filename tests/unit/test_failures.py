"""The failure table: the class of each error, for each row. The effect of each class is in test_failing."""

import re

import pytest

from sluice.error_codes import FailureClass
from sluice.failures import MAX_TEXT, TABLE, Failure, ModelRetry, Operation, ServiceError, classify

INVOKE, INPUT, RESULT = Operation.INVOKE, Operation.READ_INPUT, Operation.STORE_RESULT
NO_CAPACITY = (
    "Inference Component has no capacity to process this request. ApplicationAutoScaling may be in-progress "
    "(if configured) or try to increase the capacity by invoking UpdateInferenceComponentRuntimeConfig API."
)
CONTAINER_TIME_OUT = (
    'Received server error (0) from primary with message "Your invocation timed out while waiting for a response '
    "from container primary. Review the latency metrics for each container in Amazon CloudWatch, resolve the issue, "
    'and try again.".'
)
PREDICTION_FAILED = (
    'Received server error (503) from primary with message "{\n  "code": 503,\n  "type": "InternalServerException",\n'
    '  "message": "Prediction failed"\n}".'
)
COMPONENT_MISSING = (
    "Inference Component Name header is required for endpoints to which you plan to deploy inference components. "
    "Please include Inference Component Name header or consider using SageMaker models."
)
CUSTOMER_KEY = (
    "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve "
    "the object."
)


def model_error(
    status: int | None, message: str = 'Received server error from primary with message "oh".'
) -> ServiceError:
    return ServiceError(INVOKE, "ModelError", message, status=424, original_status_code=status)


CASES = [
    # the request
    (ServiceError(INVOKE, "ValidationError", "1 validation error detected", status=400), "invalid"),
    (ServiceError(INVOKE, "ValidationError", "Variant blue not found for Request", status=400), "invalid"),
    (ServiceError(INVOKE, "ParamValidationError", "Invalid length for parameter Body"), "invalid"),
    (ServiceError(INVOKE, "RequestEntityTooLarge", "too large", status=413), "invalid"),
    # the model
    (model_error(400), "model"),
    (model_error(404), "model"),
    (model_error(418, "the field timeout is wrong: timed out"), "model"),
    (model_error(500), "model"),
    (model_error(500, "a timeout of the feature store: timed out"), "model"),
    (model_error(504, "upstream time-out"), "model"),
    (model_error(None), "model"),
    (model_error(0, CONTAINER_TIME_OUT), "model"),
    (model_error(503, PREDICTION_FAILED), "model"),
    # the model, for a while
    (model_error(0, "no reason given"), "transient"),
    (model_error(0, ""), "transient"),
    (model_error(502), "transient"),
    (model_error(507), "transient"),
    (model_error(500, "Worker died."), "transient"),
    # capacity
    (model_error(429), "capacity"),
    (model_error(503), "capacity"),
    (ServiceError(INVOKE, "ValidationError", NO_CAPACITY, status=400), "capacity"),
    (ServiceError(INVOKE, "ModelNotReadyException", "loading", status=429), "capacity"),
    (ServiceError(INVOKE, "ThrottlingException", "Rate exceeded", status=400), "capacity"),
    (ServiceError(INVOKE, "ServiceUnavailable", "try again", status=503), "capacity"),
    (ServiceError(INVOKE, "Whatever", "slow", status=429), "capacity"),
    (ServiceError(INVOKE, "Whatever", "slow", status=503), "capacity"),
    (model_error(503, CONTAINER_TIME_OUT), "capacity"),
    # configuration
    (ServiceError(INVOKE, "ValidationError", COMPONENT_MISSING, status=400), "configuration"),
    (ServiceError(RESULT, "KMS.DisabledException", "key/x is disabled.", status=400), "configuration"),
    (
        ServiceError(Operation.DEAD_LETTER, "AWS.SimpleQueueService.NonExistentQueue", "gone", status=400),
        "configuration",
    ),
    (
        ServiceError(INVOKE, "ValidationError", "Endpoint wine of account 123456789012 not found.", status=400),
        "configuration",
    ),
    (ServiceError(INVOKE, "ValidationError", 'Could not find endpoint "wine".', status=400), "configuration"),
    (ServiceError(INVOKE, "AccessDeniedException", "not authorized", status=400), "configuration"),
    (ServiceError(INVOKE, "ExpiredTokenException", "expired", status=400), "configuration"),
    (ServiceError(INVOKE, "UnrecognizedClientException", "who", status=400), "configuration"),
    (ServiceError(INVOKE, "NoCredentialsError", "Unable to locate credentials"), "configuration"),
    (ServiceError(INVOKE, "Whatever", "no", status=403), "configuration"),
    (ServiceError(INPUT, "AccessDenied", "Access Denied", status=403), "configuration"),
    (ServiceError(INPUT, "PermanentRedirect", "another region", status=301), "configuration"),
    (ServiceError(RESULT, "NoSuchBucket", "gone", status=404), "configuration"),
    (ServiceError(RESULT, "AccessDenied", "Access Denied", status=403), "configuration"),
    # the input
    (ServiceError(INPUT, "NoSuchKey", "The specified key does not exist.", status=404), "invalid"),
    (ServiceError(INPUT, "NoSuchBucket", "no such bucket", status=404), "invalid"),
    (ServiceError(INPUT, "404", "Not Found", status=404), "invalid"),
    (ServiceError(INPUT, "InvalidObjectState", "archived", status=403), "invalid"),
    (ServiceError(INPUT, "InvalidRequest", f"object s3://b/k: {CUSTOMER_KEY}", status=400), "invalid"),
    # transient
    (ServiceError(Operation.DEAD_LETTER, "RequestThrottled", "Request is throttled.", status=403), "transient"),
    (ServiceError(INVOKE, "InternalFailure", "oops", status=500), "transient"),
    (ServiceError(INVOKE, "InternalDependencyException", "oops", status=530), "transient"),
    (ServiceError(INVOKE, "ReadTimeoutError", "Read timeout on endpoint URL"), "transient"),
    (ServiceError(INVOKE, "ConnectTimeoutError", "Connect timeout"), "transient"),
    (ServiceError(INVOKE, "EndpointConnectionError", "Could not connect"), "transient"),
    (ServiceError(INPUT, "SlowDown", "Please reduce your request rate.", status=503), "transient"),
    (ServiceError(INPUT, "InternalError", "oops", status=500), "transient"),
    (ServiceError(RESULT, "SlowDown", "Please reduce your request rate.", status=503), "transient"),
    (ServiceError(INVOKE, "SomethingNew", "never seen", status=418), "transient"),
    (KeyError("a bug"), "transient"),
]


@pytest.mark.parametrize(("error", "expected"), CASES, ids=lambda case: str(case)[:60])
def test_class(error: Exception, expected: str) -> None:
    assert classify(error).failure_class == expected


def test_every_row_is_needed_by_some_case() -> None:
    """Each row is the first match of a case above, so none is unreachable or untested."""
    first = {
        next(index for index, row in enumerate(TABLE) if row.matches(error))
        for error, _ in CASES
        if isinstance(error, ServiceError)
    }
    assert first == set(range(len(TABLE)))


@pytest.mark.parametrize("failure_class", FailureClass)
def test_which_classes_are_retryable(failure_class: FailureClass) -> None:
    assert failure_class.retryable == (failure_class in {"capacity", "configuration", "transient"})


def test_a_time_out_of_the_container_is_named_so() -> None:
    assert classify(model_error(0, CONTAINER_TIME_OUT)).code == "ModelTimeout"
    assert classify(model_error(None, CONTAINER_TIME_OUT)).code == "ModelTimeout"
    assert classify(model_error(0, CONTAINER_TIME_OUT.partition('"')[2])).code == "ModelTimeout"


@pytest.mark.parametrize("status", [400, 500, 502, 503, 504])
def test_a_models_text_makes_no_time_out(status: int) -> None:
    quoted = f'Received server error ({status}) from primary with message "{CONTAINER_TIME_OUT}".'
    assert classify(model_error(status, quoted)).code == "ModelError"
    assert classify(model_error(status, "upstream time-out")).code == "ModelError"
    assert classify(model_error(None, f"the model says: {CONTAINER_TIME_OUT}")).code == "ModelError"


@pytest.mark.parametrize(
    "error", [model_error(0, ""), model_error(502), model_error(507), model_error(500, "Worker died.")]
)
def test_what_may_be_the_requests_own_fault_is_retried_a_few_times(error: ServiceError) -> None:
    """A request that ends the model's process must not do so at each of 20 receives."""
    failure = classify(error)
    assert [failure.is_retried(receive) for receive in (1, 5, 6, 20)] == [True, True, False, False]
    assert failure.failure_class == "transient", "which leaves the endpoint's concurrency as it is"
    assert failure.code == ("NoResponse" if error.original_status_code == 0 else "ModelError")


def test_a_deployment_says_which_statuses_of_the_model_are_retried() -> None:
    retry = ModelRetry(statuses=(500, 503), attempts=3)

    def failure(status: int, message: str = "oh") -> Failure:
        return classify(
            ServiceError(INVOKE, "ModelError", message, status=424, original_status_code=status, model_retry=retry)
        )

    assert [failure(500).is_retried(receive) for receive in (1, 2, 3)] == [True, True, False]
    assert failure(500).failure_class == "model", "its dead letter says what it is"
    assert failure(503, PREDICTION_FAILED).is_retried(2)
    assert failure(503).is_retried(19), "unavailable: there, the endpoint's capacity is short"
    assert not failure(400).is_retried(1)
    assert not failure(0, CONTAINER_TIME_OUT).is_retried(1)
    assert not failure(0, "").is_retried(3)


def test_a_reason_says_what_to_do_where_the_services_does_not() -> None:
    missing = ServiceError(INVOKE, "ValidationError", COMPONENT_MISSING, status=400)
    assert classify(missing).message.endswith(
        "; set InferenceComponentName (of a dropped object: the metadata inference-component-name)"
    )
    encrypted = ServiceError(INPUT, "InvalidRequest", CUSTOMER_KEY, status=400)
    assert "store it without one, or with SSE-S3 or SSE-KMS" in classify(encrypted).message


def test_the_models_message_is_kept() -> None:
    error = ServiceError(
        INVOKE,
        "ModelError",
        "Received client error (422)",
        status=424,
        original_status_code=422,
        original_message="13 features expected",
        log_stream_arn="arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/Endpoints/wine",
    )
    failure = classify(error)
    assert failure.message == "Received client error (422)"
    assert failure.original_status_code == 422
    assert failure.original_message == "13 features expected"
    assert failure.log_stream_arn == error.log_stream_arn


def test_a_failure_is_classified_as_itself() -> None:
    failure = Failure(FailureClass.EXPIRED, "Expired", "too late")
    assert classify(failure) is failure


def test_an_unforeseen_error_is_named_after_its_type() -> None:
    assert classify(ZeroDivisionError("division by zero")).code == "ZeroDivisionError"
    assert classify(RuntimeError()).message


def test_the_reason_of_an_unforeseen_error_says_where_and_nothing_of_the_content() -> None:
    try:
        dict[str, int]()["patient"]
    except KeyError as error:
        assert re.fullmatch(r"not foreseen; raised in test_failures\.py, line \d+", classify(error).message)


def test_a_models_text_is_cut_before_it_is_searched_or_stored() -> None:
    error = ServiceError(INVOKE, "ModelError", "é" * 5_000_000 + "timed out", original_message="\ud800" * 5)
    failure = classify(error)
    assert failure.code == "ModelError"
    assert failure.message == "é" * MAX_TEXT + "…"
    assert failure.original_message == "�" * 5
