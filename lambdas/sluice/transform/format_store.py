"""The AnswerFormat of each file in the folder of its parts, and the answers from which it is still to be found."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sluice import keys
from sluice.failures import ServiceError
from sluice.inputs.strict_json import compact_bytes
from sluice.ports import Bucket, Condition, Inference, StoredObject
from sluice.processing.storing import TRIES, conflict, was_in_time, write_once
from sluice.transform.answer_format import NONE, AnswerFormat

_MAX_KNOWN = 1000  # folders, of about 300 bytes each
_MAX_SAVED = 1024 * 1024  # bytes of answers
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored of the format of a file.

    `refuted` is the name of the format that it was before, whose answers of groups may be those of other records.
    `sent_again` are the runs in which the parts with such answers have been sent again.
    """

    answer_format: AnswerFormat
    refuted: str | None = None
    sent_again: tuple[str, ...] = ()

    @property
    def is_final(self) -> bool:
        """Whether the format never changes."""
        return self.answer_format == NONE

    @classmethod
    def parse(cls, body: bytes) -> "Stored":
        """What a document says."""
        document: dict[str, Any] = json.loads(body)
        found = replace(
            AnswerFormat.parse(document["answer_format"]),
            content_types=frozenset(document.get("content_types", ())),
            is_ordered=document.get("is_ordered", True),
        )
        sent_again = document.get("sent_again", ())
        if isinstance(sent_again, bool):  # as an earlier version wrote it, of the first run
            sent_again = (keys.ALONE,) if sent_again else ()
        return cls(found, document.get("refuted"), tuple(sent_again))

    def document(self) -> bytes:
        """The document that `parse` reads."""
        found = self.answer_format
        fields: dict[str, Any] = {"answer_format": str(found)}
        if found.content_types:
            fields |= {"content_types": sorted(found.content_types), "is_ordered": found.is_ordered}
        if self.refuted is not None:
            fields |= {"refuted": self.refuted, "sent_again": list(self.sent_again)}
        return compact_bytes(fields)


class FormatStore:
    """The formats in the results bucket, and in memory as they were last seen."""

    def __init__(self, results: Bucket) -> None:
        self._results = results
        self._known: dict[str, Stored] = {}

    async def load(self, folder: str) -> Stored | None:
        """What is known of the format of the file whose parts are in `folder`. Raises `ServiceError`."""
        return self._known.get(folder) or await self.read(folder)

    async def latest(self, folder: str) -> Stored | None:
        """What is stored now: any format but None may have been refuted. Raises `ServiceError`."""
        known = self._known.get(folder)
        return known if known is not None and known.is_final else await self.read(folder)

    async def read(self, folder: str) -> Stored | None:
        """What is stored now, also of parts that were sent again. Raises `ServiceError`."""
        found = await self._read(keys.answer_format_key(folder))
        return None if found is None else self._learned(folder, Stored.parse(found.body))

    async def settle(self, folder: str, found: AnswerFormat) -> AnswerFormat:
        """Store `found`, unless another part has stored a format first. Returns the stored one.

        Raises `ServiceError`.
        """
        settled = Stored(found)
        key = keys.answer_format_key(folder)
        if not await write_once(self._results, key, settled.document(), content_type=_JSON):
            settled = await self.read(folder) or settled
        return self._learned(folder, settled).answer_format

    async def order(self, folder: str, found: AnswerFormat) -> None:
        """Store that the answers in `found` are in order, unless the format is refuted. Raises `ServiceError`.

        If another write is faster, its document stays: parts that read no order in it find the order for themselves.
        """
        there = await self._read(keys.answer_format_key(folder))
        if there is not None and Stored.parse(there.body).refuted is None:
            await self._replace(folder, there, Stored(found))

    async def refute(self, folder: str, found: AnswerFormat) -> None:
        """Store that the format `found` is refuted, and that it is None from now on. Raises `ServiceError`."""
        for _ in range(TRIES):
            there = await self._read(keys.answer_format_key(folder))
            if there is not None and (stored := Stored.parse(there.body)).refuted is not None:
                self._learned(folder, stored)
                return
            refuted = Stored(NONE, str(found))
            if await self._replace(folder, there, refuted):
                self._learned(folder, refuted)
                return
        raise conflict()

    async def note_sent_again(self, folder: str, stored: Stored, run: str) -> None:
        """Store that the parts were sent again in a run. Raises `ServiceError`."""
        await self._write(folder, replace(stored, sent_again=(*stored.sent_again, run)), None)

    async def save_answers(self, folder: str, start: int, answers: Mapping[int, Inference]) -> bool:
        """Store answers for the part that begins at byte `start`: by the byte at which their record begins.

        Returns whether they are not too large for that. Raises `ServiceError`.
        """
        if sum(len(one.body) for one in answers.values()) > _MAX_SAVED:
            return False
        if not answers:
            return True
        document = {
            "answers": [
                {"at": at, "content_type": one.content_type, "body_base64": base64.b64encode(one.body).decode()}
                for at, one in answers.items()
            ]
        }
        await self._results.put(keys.probe_key(folder, start), compact_bytes(document), content_type=_JSON)
        return True

    async def saved_answers(self, folder: str, start: int) -> dict[int, Inference]:
        """What `save_answers` has stored for a part. Raises `ServiceError`."""
        found = await self._read(keys.probe_key(folder, start))
        return {
            one["at"]: Inference(base64.b64decode(one["body_base64"]), one["content_type"])
            for one in (json.loads(found.body)["answers"] if found else ())
        }

    async def _replace(self, folder: str, there: StoredObject | None, stored: Stored) -> bool:
        """Write `stored` in place of what was `there`. Returns whether no other write was faster, or is in progress."""
        return await was_in_time(self._write(folder, stored, Condition.replacing(there)))

    async def _write(self, folder: str, stored: Stored, condition: Condition | None) -> None:
        key = keys.answer_format_key(folder)
        await self._results.put(key, stored.document(), content_type=_JSON, condition=condition)

    async def _read(self, key: str) -> StoredObject | None:
        try:
            return await self._results.get(key)
        except ServiceError as error:
            if error.status == 404:
                return None
            raise

    def _learned(self, folder: str, found: Stored) -> Stored:
        if folder not in self._known and len(self._known) >= _MAX_KNOWN:
            self._known.pop(next(iter(self._known)))
        self._known[folder] = found
        return found
