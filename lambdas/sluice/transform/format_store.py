"""The AnswerFormat of each file in the folder of its parts, and the answers from which it is still to be found."""

import base64
import json
from collections.abc import Mapping

from sluice import keys
from sluice.failures import ServiceError
from sluice.inputs.strict_json import compact_bytes
from sluice.ports import Bucket, Inference
from sluice.processing.storing import write_once
from sluice.transform.answer_format import AnswerFormat

_MAX_KNOWN = 1000  # folders, of about 300 bytes each
_MAX_SAVED = 1024 * 1024  # bytes of answers
_JSON = "application/json"


class FormatStore:
    """The formats in the results bucket. Those that were read are kept, because they never change."""

    def __init__(self, results: Bucket) -> None:
        self._results = results
        self._known: dict[str, AnswerFormat] = {}

    async def load(self, folder: str) -> AnswerFormat | None:
        """The format of the file whose parts are in `folder`, if it has been found. Raises `ServiceError`."""
        if folder in self._known:
            return self._known[folder]
        body = await self._read(keys.answer_format_key(folder))
        return None if body is None else self._learned(folder, AnswerFormat.parse(json.loads(body)["answer_format"]))

    async def settle(self, folder: str, found: AnswerFormat) -> AnswerFormat:
        """Store `found`, unless another part has stored a format first. Returns the stored one.

        Raises `ServiceError`.
        """
        document = compact_bytes({"answer_format": str(found)})
        if not await write_once(self._results, keys.answer_format_key(folder), document, content_type=_JSON):
            return await self.load(folder) or self._learned(folder, found)
        return self._learned(folder, found)

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
        body = await self._read(keys.probe_key(folder, start))
        return {
            one["at"]: Inference(base64.b64decode(one["body_base64"]), one["content_type"])
            for one in (json.loads(body)["answers"] if body else ())
        }

    async def _read(self, key: str) -> bytes | None:
        try:
            return (await self._results.get(key)).body
        except ServiceError as error:
            if error.status == 404:
                return None
            raise

    def _learned(self, folder: str, found: AnswerFormat) -> AnswerFormat:
        if len(self._known) >= _MAX_KNOWN:
            self._known.pop(next(iter(self._known)))
        self._known[folder] = found
        return found
