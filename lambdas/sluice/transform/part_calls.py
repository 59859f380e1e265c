"""The calls of one part: what is sent for its records, and how the answers are divided."""

import io
from collections.abc import Sequence

from sluice.concurrency import Semaphore, now
from sluice.error_codes import ErrorCode
from sluice.failures import ServiceError, classify
from sluice.inputs.requests import TransformPart
from sluice.ports import Endpoint, Inference
from sluice.processing.attempt import Attempt
from sluice.transform.answer_format import NONE, AnswerError
from sluice.transform.answer_text import in_utf8, with_type
from sluice.transform.cost import CallCosts
from sluice.transform.memory import AnswerMemory
from sluice.transform.version_check import VersionCheck
from sluice.transform.work import Work

_MOST_ALONE = 512 * 1024  # bytes of answers to records alone that are kept as they came


class OutOfTime(Exception):
    """The function has less time left than one more call may take."""


class PartCalls:
    """Calls the endpoint of a part. With less than `needed_ms` left, no call is begun, nor if `version` is not current.

    `slots` are the calls that the function may make at once, for all that it processes. `alone` has the answers to
    records alone as they came, as far as they are small, for the case that the format of the file is refuted.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        slots: Semaphore,
        costs: CallCosts,
        *,
        attempt: Attempt[TransformPart],
        work: Work,
        memory: AnswerMemory,
        version: VersionCheck,
        needed_ms: float,
    ) -> None:
        self._endpoint = endpoint
        self._slots = slots
        self._costs = costs
        self._attempt = attempt
        self._work = work
        self._memory = memory
        self._version = version
        self._needed_ms = needed_ms
        self.alone: dict[int, Inference] = {}

    def keep_alone(self, index: int, inference: Inference) -> None:
        """Keep the answer to a record alone as it came."""
        found = self._work.answer_format
        size = sum(len(one.body) for one in self.alone.values())
        if found is not None and found.is_found and size + len(inference.body) <= _MOST_ALONE:
            self.alone[index] = inference

    def release(self, size: int) -> None:
        """Take back what was admitted for answers that are dropped."""
        self._memory.withdraw(size)

    async def ask(self, indices: Sequence[int]) -> Inference:
        """The answer to records that are sent together. Raises `OutOfTime`, `ServiceError`, `Replaced`, `Deleted`."""
        return await self._invoke(self._body(indices))

    async def answers(self, indices: Sequence[int]) -> list[bytes]:
        """The answers to records that are sent together, as the format of the file divides them.

        Raises `AnswerError`, and what `ask` raises.
        """
        inference = await self._invoke(self._body(indices))
        if len(indices) == 1:
            self.keep_alone(indices[0], inference)
        if self._work.options.split_type == "None":
            if not inference.body:
                raise AnswerError("the answer is empty")
            return [inference.body]
        divided_by = self._work.answer_format or NONE
        try:
            return divided_by.divide(
                inference.body, inference.content_type, len(indices), keeps_lines=self._work.keeps_lines
            )
        except AnswerError:
            self._memory.withdraw(len(inference.body))
            raise

    def _body(self, indices: Sequence[int]) -> bytes:
        if self._work.options.split_type == "None":
            return self._work.sent(0)
        body = io.BytesIO()
        body.write(self._work.header)
        for index in indices:
            body.write(self._work.sent(index))
            if body.tell() < self._work.limit:  # a record that fills the request has no line break
                body.write(b"\n")
        return body.getvalue()

    async def _invoke(self, body: bytes) -> Inference:
        invocation = self._work.invocation
        admitted = 0

        async def admit(size: int) -> None:
            nonlocal admitted
            admitted, more = max(admitted, size), size - admitted
            if more > 0:
                await self._memory.admit(more)

        async with self._slots:
            await self._version.check()
            if self._attempt.remaining_ms() < self._needed_ms:
                raise OutOfTime
            began = now()
            try:
                inference = await self._endpoint.invoke(
                    invocation.endpoint_name,
                    body,
                    invocation.parameters,
                    seconds=self._attempt.call_seconds,
                    admit=admit,
                )
            except ServiceError as error:
                self._memory.withdraw(admitted)
                error.receive_count = self._attempt.delivery.receive_count
                if classify(error).code == ErrorCode.MODEL_TIMEOUT:
                    self._costs.timed_out(invocation.endpoint_name, len(body))
                raise
            seconds = now() - began
        await admit(len(inference.body))
        if self._work.options.split_type == "None":  # another kind of call than those for records
            self._work.learn_type(inference)
            return inference
        self._costs.learn(invocation.endpoint_name, len(body), len(inference.body), seconds)
        inference = in_utf8(inference)
        self._work.learn_type(inference)
        return with_type(inference, invocation.parameters.get("Accept") or self._work.codec.content_type)
