"""The failure of a run of a dataset: one dead letter for all of its messages that fail.

The first message that fails for good claims the failure, by an object that is written once. Only its dead letter is
sent. docs/outcomes.md describes the order of the steps.
"""

from collections.abc import Awaitable, Callable
from functools import partial

from sluice import keys
from sluice.inputs.requests import Request, TransformPart
from sluice.ports import Bucket, ObjectHead
from sluice.processing.attempt import Attempt
from sluice.processing.outcome import Outcome, Status
from sluice.processing.outcomes import Outcomes, claim_key, error_keys, is_answer, is_of_message, superseded
from sluice.processing.result import owner_metadata, owner_of
from sluice.processing.storing import write_once

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
        it, or that another message has claimed the failure of the run. An `.err` and a claim are never withdrawn
        because a part is answered meanwhile, as others rely on them: only if the dataset is answered or superseded.
        """
        key = claim_key(attempt)
        if key is None:
            return await self._outcomes.record_failure(attempt, document, resolved)
        of_file = partial(self._resolved, attempt) if isinstance(attempt.request, TransformPart) else resolved
        claim = await self._results.head(key)
        if claim is None:
            if not await self._has_recorded(attempt) and (outcome := await resolved()) is not None:
                return outcome
            # The result of an earlier run stays, and an `.err` beside it would say nothing about it.
            if not await self._has_result(attempt):
                outcome = await self._outcomes.record_failure(attempt, document, of_file)
                if outcome is not None:
                    return outcome
            claim = await self._claim(attempt, key, document)
        if not is_of_message(claim, attempt):
            return attempt.ended(
                Status.FAILED_WITH_FILE, detail="the file has failed already; the dead letter of that stands for all"
            )
        if await self._has_result(attempt):
            await self._outcomes.clear_failure(attempt, is_first=False)
        return await of_file()

    async def _has_recorded(self, attempt: _Attempt) -> bool:
        """Whether the `.err` is of this very message."""
        for key in error_keys(attempt):
            stored = await self._results.head(key)
            if stored is not None and is_of_message(stored, attempt):
                return True
        return False

    async def _has_result(self, attempt: _Attempt) -> bool:
        """Whether the `.out` is one of the dataset's own, of this run or of an earlier one."""
        stored = await self._answer(attempt)
        return stored is not None and owner_of(stored) == attempt.identity.owner

    async def _claim(self, attempt: _Attempt, key: str, document: bytes) -> ObjectHead:
        """The claim: that of this message, unless another one was faster."""
        own = owner_metadata(attempt)
        await write_once(self._results, key, document, content_type="application/json", metadata=own)
        return await self._results.head(key) or ObjectHead(len(document), "", metadata=own)

    async def _resolved(self, attempt: _Attempt) -> Outcome | None:
        """The outcome of a part when its dataset is answered or superseded, after the `.err` is removed."""
        stored, upload = await self._answer(attempt), attempt.request.upload
        if stored is not None and is_answer(stored, attempt, attempt.identity.owner):
            await self._outcomes.clear_failure(attempt, is_first=False)
            return attempt.ended(Status.DUPLICATE, detail="the file is answered")
        if upload is not None and await self._outcomes.is_outdated(upload, stored):
            await self._outcomes.clear_failure(attempt, is_first=False)
            return superseded(attempt)
        return None

    async def _answer(self, attempt: _Attempt) -> ObjectHead | None:
        """The `.out` of the dataset."""
        return await self._results.head(attempt.identity.error_name + keys.OUT)
