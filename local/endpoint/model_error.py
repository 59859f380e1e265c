"""ModelError with SageMaker's messages: the container returned an error, or timed out."""

from dataclasses import dataclass

from local.endpoint.api import ServiceFault

_QUOTED = 1024  # characters of the container's message that SageMaker quotes in its own
_TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency metrics for "
    "each container in Amazon CloudWatch, resolve the issue, and try again."
)


@dataclass(frozen=True, slots=True)
class ModelErrors:
    """Creates ModelErrors for the endpoints of one account and region."""

    account: str
    region: str

    def rejected(self, endpoint_name: str, status: int, text: str) -> ServiceFault:
        """The container returned `status`, which is not 2xx, and `text`."""
        return self._fault(endpoint_name, status, text, text[:_QUOTED])

    def timed_out(self, endpoint_name: str) -> ServiceFault:
        """The container exceeded its time: status 0, and no original message."""
        return self._fault(endpoint_name, 0, "", _TIMED_OUT)

    def with_message(self, endpoint_name: str, status: int, message: str) -> ServiceFault:
        """A ModelError with `message` as its Message, verbatim."""
        return self._with_fields(endpoint_name, status, message, message)

    def _fault(self, endpoint_name: str, status: int, original: str, quoted: str) -> ServiceFault:
        kind = "client" if 400 <= status < 500 else "server"
        region, group = self.region, _log_group(endpoint_name)
        message = (
            f'Received {kind} error ({status}) from primary with message "{quoted}". '
            f"See https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#logEventViewer:group={group} "
            f"in account {self.account} for more information."
        )
        return self._with_fields(endpoint_name, status, original, message)

    def _with_fields(self, endpoint_name: str, status: int, original: str, message: str) -> ServiceFault:
        arn = f"arn:aws:logs:{self.region}:{self.account}:log-group:{_log_group(endpoint_name)}"
        return ServiceFault(
            "ModelError", message, OriginalStatusCode=status, OriginalMessage=original, LogStreamArn=arn
        )


def _log_group(endpoint_name: str) -> str:
    return f"/aws/sagemaker/Endpoints/{endpoint_name}"
