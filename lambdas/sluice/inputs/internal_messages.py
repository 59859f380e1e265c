"""The messages between the functions: a part of a dataset to process, the parts of a dataset to assemble.

And the message of the command line that has records of a dataset sent again.
"""

import json
from collections.abc import Collection
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_pascal

from sluice.failures import invalid
from sluice.inputs.message import check_keys, explain
from sluice.inputs.requests import Assembly, DroppedObject, Input, Run, TransformPart, TransformRetry
from sluice.keys import RUN_PATTERN, STEM_PATTERN


class _File(BaseModel):
    """A version of an object, in a message between the functions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_pascal)

    bucket: str = Field(min_length=1)
    key: str = Field(min_length=1)
    size: int = Field(ge=0)
    version_id: str | None = None
    sequencer: str | None = None
    etag: str = Field(min_length=1)

    def file(self) -> DroppedObject:
        """The version."""
        return DroppedObject(
            bucket=self.bucket,
            key=self.key,
            size=self.size,
            version_id=self.version_id,
            sequencer=self.sequencer,
            etag=self.etag,
        )


class _OfRun(_File):
    run: str | None = Field(None, pattern=RUN_PATTERN)
    retry: bool = False

    def run_or_none(self) -> Run | None:
        """The run; None in a message of an earlier version."""
        return Run(self.run, self.retry) if self.run else None


class _TransformPart(_OfRun):
    start: int = Field(ge=0)
    end: int
    unpacked: bool = False
    batch_file: bool = False
    aligned: bool = False
    earlier: str | None = Field(None, pattern=STEM_PATTERN)
    times_whole: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.start < self.end <= self.size:
            msg = "Start, End: must be a range within Size"
            raise ValueError(msg)
        return self

    def request(self) -> TransformPart:
        """The request in the message."""
        return TransformPart(
            self.file(),
            self.start,
            self.end,
            self.unpacked,
            self.batch_file,
            self.aligned,
            self.run_or_none(),
            self.earlier,
            self.times_whole,
        )


class _Assembly(_OfRun):
    def request(self) -> Assembly:
        """The request in the message."""
        return Assembly(self.file(), self.run_or_none())


class _TransformRetry(_File):
    def request(self) -> TransformRetry:
        """The request in the message."""
        return TransformRetry(self.file())


_MODELS: dict[str, type[_TransformPart | _Assembly | _TransformRetry]] = {
    "TransformPart": _TransformPart,
    "TransformAssembly": _Assembly,
    "TransformRetry": _TransformRetry,
}


def internal_request(raw: dict[str, Any]) -> TransformPart | Assembly | TransformRetry | None:
    """The request in a message between the functions; None for any other message.

    Raises `Failure` (invalid) when such a message breaks a rule.
    """
    for key, model in _MODELS.items():
        if key in raw:
            if not isinstance(raw[key], dict):
                raise invalid(key, "must be a JSON object")
            known = [to_pascal(name) for name in model.model_fields]
            check_keys(raw[key], known)
            try:
                return model.model_validate(raw[key]).request()
            except ValidationError as error:
                raise explain(error, known) from None
    return None


def check_sender(request: Input, sender_id: str, internal_senders: Collection[str]) -> None:
    """Raises `Failure` (invalid) for a message between the functions that another principal has sent.

    Such a message makes work that nobody can limit: calls for any range of any dataset, again and again.
    `internal_senders` are the role IDs of the functions that send such messages, and `sender_id` is the message's.
    """
    if isinstance(request, TransformPart | Assembly) and sender_id.partition(":")[0] not in internal_senders:
        raise invalid(
            "message",
            "parts are sent by the functions alone; to run a dataset again, drop it again or redrive its dead letters "
            "with `sluice dlq redrive`",
        )


def body_of(request: TransformPart | Assembly | TransformRetry) -> str:
    """The message body that is parsed as `request`."""
    file = request.file
    fields: dict[str, Any] = {
        "Bucket": file.bucket,
        "Key": file.key,
        "Size": file.size,
        "VersionId": file.version_id,
        "Sequencer": file.sequencer,
        "Etag": file.etag,
    }
    if isinstance(request, TransformRetry):
        name = "TransformRetry"
    else:
        name = "TransformAssembly"
        if request.run is not None:
            fields |= {"Run": request.run.id, "Retry": request.run.retries or None}
    if isinstance(request, TransformPart):
        name = "TransformPart"
        fields |= {
            "Start": request.start,
            "End": request.end,
            "Unpacked": request.unpacked or None,
            "BatchFile": request.batch_file or None,
            "Aligned": request.aligned or None,
            "Earlier": request.earlier,
            "TimesWhole": request.times_whole or None,
        }
    return json.dumps({name: {key: value for key, value in fields.items() if value is not None}})
