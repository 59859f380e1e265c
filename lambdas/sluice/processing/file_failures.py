"""The failure of a run of a dataset: one dead letter for all of its messages that fail.

The first message that fails for good claims the failure, by an object that is written once. Only its dead letter is
sent. docs/outcomes.md describes the order of the steps.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress

from sluice import keys
from sluice.inputs.requests import Request
from sluice.ports import Bucket, Condition, ObjectHead, PreconditionFailed
from sluice.processing.attempt import Attempt
from sluice.processing.outcome import Outcome, Status
from sluice.processing.outcomes import Outcomes, claim_key, is_answer, is_of_message, superseded
from sluice.processing.result import owner_metadata, owner_of

_Attempt = Attempt[Request]


class FileFailures:
    """Records failures. Every method raises `ServiceError` when S3 fails or refuses."""

    def __init__(self, results: Bucket, outcomes: Outcomes) -> None:
        self._results = results
        self._outcomes = outcomes

    async def record(
        self, attempt: _Attempt, document: bytes, resolved: Callable[[], Awaitable[Outcome | None]]
    ) -> Outcome | None:
        """Write `document` as the `.err`, and claim the failure if the request is of a run of a dataset.

        None is returned if the dead letter must be sent. Otherwise the outcome: as `Outcomes.record_failure` returns
        it, or that another message has claimed the failure of the run. A claim is never withdrawn, because others rely
        on its dead letter: it is sent unless the dataset itself is answered or superseded.
        """
        key = claim_key(attempt)
        if key is None:
            return await self._outcomes.record_failure(attempt, document, resolved)
        claim = await self._results.head(key)
        if claim is None:
            # The result of an earlier run stays, and an `.err` beside it would say nothing about it.
            is_answered = owner_of_answer(await self._answer(attempt)) == attempt.identity.owner
            outcome = await (resolved() if is_answered else self._outcomes.record_failure(attempt, document, resolved))
            if outcome is not None:
                return outcome
            claim = await self._claim(attempt, key, document)
        if not is_of_message(claim, attempt):
            return attempt.ended(
                Status.FAILED_WITH_FILE, detail="the file has failed already; the dead letter of that stands for all"
            )
        return await self._resolved(attempt)

    async def _claim(self, attempt: _Attempt, key: str, document: bytes) -> ObjectHead:
        """The claim: that of this message, unless another one was faster."""
        own = owner_metadata(attempt)
        with suppress(PreconditionFailed):
            await self._results.put(key, document, content_type="application/json", metadata=own, condition=Condition())
        return await self._results.head(key) or ObjectHead(len(document), "", metadata=own)

    async def _resolved(self, attempt: _Attempt) -> Outcome | None:
        """The outcome when the dataset is answered or superseded, after its `.err` is removed."""
        stored, upload = await self._answer(attempt), attempt.request.upload
        has_result = stored is not None and owner_of(stored) == attempt.identity.owner
        if has_result:
            await self._outcomes.clear_failure(attempt)
        if stored is not None and is_answer(stored, attempt, attempt.identity.owner):
            return attempt.ended(Status.DUPLICATE, detail="the file is answered")
        if upload is not None and await self._outcomes.is_outdated(upload, None if has_result else stored):
            await self._outcomes.clear_failure(attempt)
            return superseded(attempt)
        return None

    async def _answer(self, attempt: _Attempt) -> ObjectHead | None:
        """The `.out` of the dataset."""
        return await self._results.head(attempt.identity.error_name + keys.OUT)


def owner_of_answer(stored: ObjectHead | None) -> str | None:
    """The owner of a `.out`; None without one."""
    return None if stored is None else owner_of(stored)
