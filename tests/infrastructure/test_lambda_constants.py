"""What the infrastructure repeats of lambdas/ is what lambdas/ defines."""

from infrastructure import lambda_constants
from sluice.failures import FailureClass
from sluice.inputs import identity
from sluice.processing import result


def test_prefixes() -> None:
    assert lambda_constants.INVOKE_PREFIX == identity.INVOKE_PREFIX
    assert lambda_constants.TRANSFORM_PREFIX == identity.TRANSFORM_PREFIX
    assert lambda_constants.PARTS_PREFIX == identity.PARTS_PREFIX
    assert lambda_constants.OTHER_BUCKETS_PREFIX == identity.OTHER_BUCKETS_PREFIX
    assert f"{identity._MESSAGES}/" == lambda_constants.MESSAGES_PREFIX


def test_suffixes_and_limits() -> None:
    assert lambda_constants.RESULT_SUFFIX == result.OUT
    assert lambda_constants.FAILURE_SUFFIX == result.ERR
    assert lambda_constants.MAX_MESSAGE_BYTES == result.MAX_MESSAGE_BYTES


def test_failure_classes() -> None:
    assert {name.lower() for name in lambda_constants.FAILURE_CLASSES} == set(FailureClass)
