"""The stored outcomes of requests: the only code that writes or removes a request's `.out` or `.err`.

docs/outcomes.md describes the protocol: the states of a request, who may move it from which to which, and what a crash
between any two steps leaves.
"""

from collections.abc import Awaitable, Callable

from sluice import keys
from sluice.error_codes import FailureClass
from sluice.failures import Failure, ServiceError, classify, invalid
from sluice.inputs.identity import is_newer, key_of_version, spare_error_name
from sluice.inputs.requests import DroppedObject, Request
from sluice.inputs.runs import run_of_request
from sluice.ports import Bucket, Buckets, Condition, ObjectHead, PreconditionFailed
from sluice.processing.attempt import Attempt
from sluice.processing.outcome import Outcome, Status
from sluice.processing.result import MESSAGE_ID, RUN, SEQUENCER, failure_from, owner_metadata, owner_of
from sluice.processing.storing import TRIES, conflict, is_overtaken, was_in_time

_Attempt = Attempt[Request]


class Outcomes:
    """The outcomes in the results bucket. Every method raises `ServiceError` when S3 fails or refuses."""

    def __init__(self, results: Bucket, inputs: Buckets) -> None:
        self._results = results
        self._inputs = inputs

    async def answer(self, attempt: _Attempt) -> ObjectHead | None:
        """The `.out` that has the name of the request's, of whichever request it is."""
        return await self._results.head(attempt.identity.name + keys.OUT)

    async def settled_by(self, stored: ObjectHead, attempt: _Attempt) -> Outcome | None:
        """The outcome when `stored`, the `.out`, settles the request; None when the request must replace it.

        Raises `Failure` (invalid) when it is the result of another message with the same Filename.
        """
        upload = attempt.request.upload
        if is_answer(stored, attempt, attempt.identity.key):
            if await self._withdraw(attempt, stored.version_id):
                return superseded(attempt)
            await self.clear_failure(attempt, is_first=False)
            return attempt.ended(Status.DUPLICATE)
        if upload is None:
            raise invalid("Filename", "another request's result has this name already; choose one that is not taken")
        return superseded(attempt) if await self.is_outdated(upload, stored) else None

    async def resolved(self, attempt: _Attempt) -> Outcome | None:
        """The outcome when the request is answered or superseded, so that a failure no longer matters."""
        stored = await self.answer(attempt)
        upload = attempt.request.upload
        if stored is not None and is_answer(stored, attempt, attempt.identity.key):
            return await self.settled_by(stored, attempt)
        return superseded(attempt) if upload is not None and await self.is_outdated(upload, stored) else None

    async def record_answer(
        self, attempt: _Attempt, write: Callable[[Condition], Awaitable[str | None]], stored: ObjectHead | None
    ) -> Outcome | None:
        """Write the `.out` with `write`, on the condition that its key still holds `stored`, and remove the `.err`.

        Returns None, or the outcome when another result settles the request. If another write was faster, the decision
        is made again for what is there. Raises `Failure` as `settled_by` does.
        """
        for _ in range(TRIES):
            try:
                version_id = await write(Condition.replacing(stored))
            except (PreconditionFailed, ServiceError) as error:
                if not is_overtaken(error):
                    raise
                stored = await self.answer(attempt)
                if stored is not None and (outcome := await self.settled_by(stored, attempt)) is not None:
                    return outcome
                continue
            # The condition holds also for a newer upload's answer with the content of the one that was to be replaced.
            if stored is not None and await self._withdraw(attempt, version_id):
                return superseded(attempt)
            await self.clear_failure(attempt, is_first=stored is None and attempt.delivery.receive_count == 1)
            return None
        raise conflict()

    async def record_failure(
        self, attempt: _Attempt, document: bytes, resolved: Callable[[], Awaitable[Outcome | None]]
    ) -> Outcome | None:
        """Write `document` as the `.err`.

        `resolved` returns the outcome when the request is answered or superseded. That outcome is returned, and no
        `.err` of the request stays; else None is returned.
        """
        if (outcome := await self._without_failure(attempt, resolved)) is not None:
            return outcome
        if (key := await self._error_key(attempt)) is None:
            await self.clear_failure(attempt, is_first=False)
            return superseded(attempt)
        # Versions of an object share a name. A message shares its name with none, whatever owner stands there.
        is_shared = attempt.request.upload is not None
        for _ in range(TRIES):
            stored = await self._results.head(key)
            if stored is not None and is_shared and not await self._may_replace(stored, attempt):
                return superseded(attempt)
            write = self._results.put(
                key,
                document,
                content_type="application/json",
                metadata=owner_metadata(attempt),
                condition=Condition.replacing(stored),
            )
            try:
                is_written = await was_in_time(write)
            except ServiceError:
                # It may be written although the response was lost, and perhaps no other delivery comes to look.
                if (outcome := await self._without_failure(attempt, resolved)) is not None:
                    return outcome
                raise
            if is_written:
                # Looked up again: another delivery writes its .out first and removes the .err after that, so the later
                # of the two deliveries sees the other's object.
                await self._give_up_spare(attempt)
                return await self._without_failure(attempt, resolved)
        raise conflict()

    async def _without_failure(
        self, attempt: _Attempt, resolved: Callable[[], Awaitable[Outcome | None]]
    ) -> Outcome | None:
        if (outcome := await resolved()) is not None:
            # A stored part does not answer its dataset, whose .err may be that of another part.
            is_part = attempt.identity.key != attempt.identity.owner and outcome.status is not Status.SUPERSEDED
            for key in error_keys(attempt):
                await self._clear(attempt, key, only_of=is_of_message if is_part else None)
        return outcome

    async def failure_of(self, attempt: _Attempt) -> Failure | None:
        """The failure that an earlier receive of the message recorded, without sending the dead letter."""
        claim = claim_key(attempt)
        for key in [*error_keys(attempt), *([] if claim is None else [claim])]:
            stored = await self._results.head(key)
            if stored is None or not is_of_message(stored, attempt):
                continue
            found = await self._results.get(key)
            if is_of_message(found, attempt):
                return failure_from(found.body)
        return None

    async def clear_failure(self, attempt: _Attempt, *, is_first: bool) -> None:
        """Remove the `.err` of the request, or of an older version of its object. That of any other request stays.

        The first delivery of a request with a free name has none under the spare name, so that it is not looked for.
        """
        name, *spare = error_keys(attempt)
        was_there = await self._clear(attempt, name)
        for key in spare if was_there or not is_first else ():
            await self._clear(attempt, key)

    async def _give_up_spare(self, attempt: _Attempt) -> None:
        """Remove the request's `.err` under the spare name, if it has one under its own."""
        name, *spare = error_keys(attempt)
        if spare and (there := await self._results.head(name)) is not None and _is_of_request(there, attempt):
            await self._clear(attempt, spare[0], only_of=_is_of_request)

    async def _clear(
        self, attempt: _Attempt, key: str, *, only_of: Callable[[ObjectHead, _Attempt], bool] | None = None
    ) -> bool:
        """Remove an `.err` that is the request's to remove. Returns whether there was one, of whichever request."""
        was_there = False
        for _ in range(TRIES):
            stored = await self._results.head(key)  # a delete of no object would leave a delete marker
            was_there = was_there or stored is not None
            if stored is None or (only_of and not only_of(stored, attempt)):
                return was_there
            if not await self._may_replace(stored, attempt):
                return was_there
            if await was_in_time(self._results.delete(key, condition=Condition.replacing(stored))):
                return was_there
        raise conflict()

    async def _error_key(self, attempt: _Attempt) -> str | None:
        """The key of the `.err`; None when the object has a newer version, which answers.

        Anybody may send an event. One that the object does not confirm has its `.err` under the spare name: if it names
        no version of an object in a versioned bucket, or if the object is gone or may not be read, and its name has
        another request's outcome.
        """
        upload, name = attempt.request.upload, attempt.identity.error_name
        spare = spare_error_name(attempt.identity.owner) + keys.ERR
        if upload is None:
            return name + keys.ERR
        try:
            newest = await self._inputs(upload.bucket).head(upload.key)
        except ServiceError as error:
            if classify(error).failure_class is FailureClass.TRANSIENT:
                raise
            newest = None  # It may not be read, which may be the failure that is to be recorded.
        if newest is None:
            there = [await self._results.head(name + suffix) for suffix in (keys.OUT, keys.ERR)]
            is_free = all(stored is None or owner_of(stored) in {None, attempt.identity.owner} for stored in there)
            return name + keys.ERR if is_free else spare
        if newest.version_id is None or upload.version_id == newest.version_id:
            return name + keys.ERR
        return None if upload.version_id else spare

    async def _may_replace(self, stored: ObjectHead, attempt: _Attempt) -> bool:
        """Whether the request may replace or remove the `.err` that is `stored`."""
        if owner_of(stored) in {None, attempt.identity.owner}:
            return True
        upload = attempt.request.upload
        if upload is None:
            return False
        if not (upload.sequencer and stored.metadata.get(SEQUENCER)):  # then only the object tells which is newer
            newest = await self._inputs(upload.bucket).head(upload.key)
            return newest is not None and upload.is_version(newest)
        return not await self.is_outdated(upload, stored)

    async def _withdraw(self, attempt: _Attempt, version_id: str | None) -> bool:
        """Delete the request's own versions of the `.out`, `version_id` and those below, that hide a newer answer.

        There are several after a write whose response was lost, and when two deliveries replaced the same result.
        """
        upload, key = attempt.request.upload, attempt.identity.name + keys.OUT
        if upload is None or version_id is None or not await self.is_outdated(upload, None):
            return False
        own, hidden = [version_id], await self._results.previous(key, version_id)
        while hidden is not None and hidden.version_id and owner_of(hidden) == attempt.identity.key:
            own.append(hidden.version_id)
            hidden = await self._results.previous(key, hidden.version_id)
        if hidden is None or not await self._is_of_newer(hidden, upload):
            return False
        for one in own:
            await self._results.delete(key, version_id=one)
        return True

    async def _is_of_newer(self, hidden: ObjectHead, upload: DroppedObject) -> bool:
        """Whether a version of the `.out` is that of a newer upload. The events of a backfill have no sequencer."""
        if is_newer(hidden.metadata.get(SEQUENCER), upload.sequencer):
            return True
        newest = await self._inputs(upload.bucket).head(upload.key)
        if newest is None or newest.version_id is None:
            return False
        return owner_of(hidden) == key_of_version(upload.bucket, upload.key, newest.version_id)

    async def is_outdated(self, upload: DroppedObject, stored: ObjectHead | None) -> bool:
        """Whether a newer upload answers. `stored` is the `.out`, or what stands beside it, of another upload.

        The object itself says which version is the newest. An event's sequencer, which anybody may write who sends one,
        decides only when the object cannot: it is gone, or its bucket has no versions.
        """
        newest = await self._inputs(upload.bucket).head(upload.key)
        if newest is not None and upload.version_id and newest.version_id:
            return upload.version_id != newest.version_id
        if newest is not None and not upload.is_version(newest):
            return True
        return stored is not None and is_newer(stored.metadata.get(SEQUENCER), upload.sequencer)


def is_answer(stored: ObjectHead, attempt: _Attempt, owner: str) -> bool:
    """Whether `stored`, a `.out`, answers the request: a retry has not been answered by what was there before it."""
    run = run_of_request(attempt.request, attempt.delivery)
    is_older = run is not None and run.retries and stored.metadata.get(RUN, "") < run.id
    return owner_of(stored) == owner and not is_older


def is_of_message(stored: ObjectHead, attempt: _Attempt) -> bool:
    """Whether this very message has written `stored`, an `.err` or a claim."""
    return _is_of_request(stored, attempt) and stored.metadata.get(MESSAGE_ID) == attempt.delivery.message_id


def _is_of_request(stored: ObjectHead, attempt: _Attempt) -> bool:
    return owner_of(stored) == attempt.identity.owner


def error_keys(attempt: _Attempt) -> list[str]:
    """The keys that the `.err` of the request may have."""
    return [name + keys.ERR for name in attempt.identity.error_names]


def claim_key(attempt: _Attempt) -> str | None:
    """The key of the object that says which message's dead letter stands for the run of a dataset.

    None when the request is no part, assembly or retry of a dataset.
    """
    run = run_of_request(attempt.request, attempt.delivery)
    identity = attempt.identity
    return None if run is None else keys.failure_key(keys.parts_folder(identity.error_name, identity.owner), run.id)


def superseded(attempt: _Attempt) -> Outcome:
    """The outcome of a request whose object was replaced."""
    return attempt.ended(Status.SUPERSEDED, detail="the object was replaced; its newer version answers")
