"""What the infrastructure repeats of lambdas/ is what lambdas/ defines."""

from infrastructure import lambda_constants
from sluice import keys
from sluice.error_codes import FailureClass
from sluice.processing import result


def test_prefixes() -> None:
    for name in ("INVOKE", "TRANSFORM", "PARTS", "OTHER_BUCKETS", "MESSAGES"):
        assert getattr(lambda_constants, f"{name}_PREFIX") == getattr(keys, f"{name}_PREFIX")


def test_suffixes_and_limits() -> None:
    assert lambda_constants.RESULT_SUFFIX == keys.OUT
    assert lambda_constants.FAILURE_SUFFIX == keys.ERR
    assert lambda_constants.MAX_MESSAGE_BYTES == result.MAX_MESSAGE_BYTES


def test_failure_classes() -> None:
    assert {name.lower() for name in lambda_constants.FAILURE_CLASSES} == set(FailureClass)
