"""The calls of one part: what is sent for its records, and how the answers are divided."""

import io
from collections.abc import Sequence

from sluice.failures import ServiceError
from sluice.inputs.requests import TransformPart
from sluice.ports import Endpoint, Inference
from sluice.processing.attempt import Attempt
from sluice.transform.answer_format import NONE, AnswerError
from sluice.transform.memory import ResponseSizeRatio
from sluice.transform.work import Work


class OutOfTime(Exception):
    """The function has less time left than one more call may take."""


class PartCalls:
    """Calls the endpoint of a part. With less than `needed_ms` left, no call is begun."""

    def __init__(
        self,
        endpoint: Endpoint,
        ratio: ResponseSizeRatio,
        attempt: Attempt[TransformPart],
        work: Work,
        needed_ms: float,
    ) -> None:
        self._endpoint = endpoint
        self._ratio = ratio
        self._attempt = attempt
        self._work = work
        self._needed_ms = needed_ms

    async def ask(self, indices: Sequence[int]) -> Inference:
        """The answer to records that are sent together. Raises `OutOfTime` and `ServiceError`."""
        return await self._invoke(self._body(indices))

    async def answers(self, indices: Sequence[int]) -> list[bytes]:
        """The answers to records that are sent together, as the format of the file divides them.

        Raises `OutOfTime`, `AnswerError` and `ServiceError`.
        """
        body = self._body(indices)
        inference = await self._invoke(body)
        if self._work.options.split_type == "None":
            if not inference.body:
                raise AnswerError("the answer is empty")
            return [inference.body]
        self._ratio.learn(self._work.invocation.endpoint_name, len(body), len(inference.body))
        divided_by = self._work.answer_format or NONE
        return divided_by.divide(inference.body, inference.content_type, len(indices))

    def _body(self, indices: Sequence[int]) -> bytes:
        if self._work.options.split_type == "None":
            return self._work.sent(0)
        body = io.BytesIO()
        for index in indices:
            body.write(self._work.sent(index))
            body.write(b"\n")
        return body.getvalue()

    async def _invoke(self, body: bytes) -> Inference:
        if self._attempt.remaining_ms() < self._needed_ms:
            raise OutOfTime
        invocation = self._work.invocation
        try:
            return await self._endpoint.invoke(
                invocation.endpoint_name, body, invocation.parameters, seconds=self._attempt.call_seconds
            )
        except ServiceError as error:
            error.receive_count = self._attempt.delivery.receive_count
            raise
