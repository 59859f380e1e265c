"""The time limits add up, in the functions and in the deployment that runs them."""

from typing import Any

import pytest

from infrastructure import queues
from infrastructure import timeouts as ladder
from infrastructure.settings import Settings
from sluice import settings, timeouts
from sluice.aws.clients import Clients

DEFAULT = Settings.from_context({"endpoint_names": ["wine"]})


def test_a_call_fits_into_the_function_and_leaves_a_window_in_which_calls_begin() -> None:
    needed = timeouts.invocation_seconds(DEFAULT.timeouts.read_seconds)
    assert timeouts.CONTAINER_SECONDS == ladder.CONTAINER_TIMEOUT_SECONDS < DEFAULT.timeouts.read_seconds
    assert needed + timeouts.BEGIN_SECONDS == DEFAULT.function_timeout
    assert DEFAULT.visibility_timeout >= 6 * DEFAULT.function_timeout


def test_the_crashed_queue_and_its_function_count_alike() -> None:
    assert settings.CRASHED_RECEIVES == queues.CRASHED_RECEIVES


def test_the_pauses_before_a_result_is_stored_again_end_before_the_function_does() -> None:
    window = timeouts.SETTLE_SECONDS + timeouts.BEGIN_SECONDS
    assert sum(timeouts.STORE_PAUSES) < window, "a call that began in time can use all the pauses, most often"


@pytest.mark.parametrize(
    ("limit", "needed"),
    [
        (ladder.NOTIFY_TIMEOUT_SECONDS, timeouts.NOTIFY_SECONDS),
        (ladder.CRASHED_TIMEOUT_SECONDS, timeouts.AWS_CALL_SECONDS),
        (ladder.SPLIT_TIMEOUT_SECONDS, timeouts.AWS_CALL_SECONDS),
        (ladder.ASSEMBLE_TIMEOUT_SECONDS, timeouts.AWS_CALL_SECONDS),
    ],
)
def test_the_other_functions_outlive_their_longest_step(limit: int, needed: float) -> None:
    assert needed < limit


def test_botocores_clients_have_these_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"DEFAULT_REGION": "us-east-1", "ACCESS_KEY_ID": "id", "SECRET_ACCESS_KEY": "secret"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    clients = Clients(connections=1, read_timeout_seconds=70)
    for client in (clients.s3, clients.sqs, clients.sns):
        config: Any = client.meta.config
        assert (config.connect_timeout, config.read_timeout) == (timeouts.CONNECT_SECONDS, timeouts.READ_SECONDS)
        assert config.retries == {"mode": "standard", "total_max_attempts": timeouts.ATTEMPTS}
    config = clients.sagemaker_runtime.meta.config
    assert (config.connect_timeout, config.read_timeout) == (timeouts.ENDPOINT_CONNECT_SECONDS, 70)
    assert config.retries["total_max_attempts"] == 1
