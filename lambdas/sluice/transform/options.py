"""How a file is transformed: Batch Transform's parameters under its names, from the deployment and from the object."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_pascal

from sluice.failures import invalid
from sluice.inputs.message import explain
from sluice.transform.answer_format import AnswerFormat
from sluice.transform.paths import Path, PathError
from sluice.transform.threshold import ErrorThreshold

MAX_CHUNK_BYTES = 1024 * 1024  # so that ten at once fit into a small function
_MIN_CHUNK_BYTES = 64 * 1024
_PARTS = 1000  # S3 lists this many objects at once, so that the progress of up to 1 GB is one request


def _path(value: object) -> object:
    return Path.parse(value) if isinstance(value, str) else value


def _answer_format(value: object) -> object:
    return AnswerFormat.parse(value) if isinstance(value, str) else value


def _error_threshold(value: object) -> object:
    return ErrorThreshold.parse(value) if isinstance(value, str | int) else value


Filter = Annotated[Any, BeforeValidator(_path)]


class Options(BaseModel):
    """CreateTransformJob's SplitType, BatchStrategy, MaxPayloadInMB, AssembleWith and DataProcessing.

    `csv_header` is ours: whether the first line of a CSV file names the columns; it is then not sent, and the
    line that answers it is empty. `answer_format` is ours, too: how an answer holds those of several records; None if
    it is not known. `error_threshold` is that of Azure's batch endpoints and of Step Functions' Distributed Map: the
    number or the percentage of records that may fail.
    """

    model_config = ConfigDict(
        extra="ignore", frozen=True, arbitrary_types_allowed=True, alias_generator=to_pascal, populate_by_name=True
    )

    split_type: Literal["Line", "None"] = "Line"
    batch_strategy: Literal["MultiRecord", "SingleRecord"] = "MultiRecord"
    max_payload: Annotated[int, Field(ge=1, le=25)] = 6
    assemble_with: Literal["Line", "None"] = "Line"
    input_filter: Filter = Path.parse("$")
    output_filter: Filter = Path.parse("$")
    join_source: Literal["None", "Input"] = "None"
    csv_header: bool = False
    answer_format: Annotated[AnswerFormat | None, BeforeValidator(_answer_format)] = None
    error_threshold: Annotated[ErrorThreshold, BeforeValidator(_error_threshold)] = ErrorThreshold()

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], defaults: Mapping[str, Any]) -> Self:
        """The options that an object's user metadata sets, each under its name in kebab case; `defaults` for the rest.

        Raises `Failure` (invalid) naming the metadata that breaks a rule.
        """
        given: dict[str, Any] = dict(defaults) | {
            to_pascal(name): metadata[key] for name in cls.model_fields if (key := name.replace("_", "-")) in metadata
        }
        try:
            return cls.model_validate(given)
        except PathError as error:
            raise invalid("input-filter or output-filter", str(error)) from None
        except ValidationError as error:
            raise explain(error) from None


def chunk_bytes(size: int) -> int:
    """How large the ranges of a file of `size` bytes are: about a thousand of them, or more of the largest size."""
    return min(MAX_CHUNK_BYTES, max(_MIN_CHUNK_BYTES, -(-size // _PARTS)))
