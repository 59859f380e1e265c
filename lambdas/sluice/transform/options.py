"""How a file is transformed: Batch Transform's parameters under its names, from the deployment and from the object."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, TypeAdapter, ValidationError
from pydantic.alias_generators import to_pascal

from sluice.failures import invalid
from sluice.inputs.message import explain
from sluice.transform.answer_format import AnswerFormat
from sluice.transform.content_types import Syntax, base_type, delimiter_of, syntax_of
from sluice.transform.paths import Path, PathError
from sluice.transform.threshold import ErrorThreshold

MAX_CHUNK_BYTES = 1024 * 1024  # so that ten at once fit into a small function
_MIN_CHUNK_BYTES = 512 * 1024  # each is a message and a call at least; one whose calls are slow divides itself
_PARTS = 1000  # S3 lists this many objects at once, so that the progress of up to 1 GB is one request
_BOOLEAN = TypeAdapter(bool)

# Options that say what is done with lines that are no requests of an OpenAI batch file.
_OF_LINES = frozenset({"SplitType", "InputFilter", "OutputFilter", "JoinSource", "AnswerFormat"})

_OF_CSV = frozenset({"csv-header", "csv-delimiter"})  # metadata


def _path(value: object) -> object:
    return Path.parse(value) if isinstance(value, str) else value


def _answer_format(value: object) -> object:
    return AnswerFormat.parse(value) if isinstance(value, str) else value


def _csv_header(value: object) -> object:
    """The names before `none`, `drop` and `repeat` were false and true."""
    try:
        return "drop" if _BOOLEAN.validate_python(value) else "none"
    except ValidationError:
        return value


def _csv_delimiter(value: object) -> object:
    """Metadata cannot be a tab: HTTP removes spaces around the value of a header."""
    return "\t" if value in {"tab", "\\t"} else value


def _error_threshold(value: object) -> object:
    return ErrorThreshold.parse(value) if isinstance(value, str | int) else value


Filter = Annotated[Any, BeforeValidator(_path)]


class Options(BaseModel):
    """CreateTransformJob's SplitType, BatchStrategy, MaxPayloadInMB, AssembleWith and DataProcessing.

    Ours are `csv_header`, `csv_delimiter`, `answer_format`, `error_threshold`, `record_format` and `request_url`. The
    first record of a CSV file is a record, or a header that is not sent, or one that each call begins with; no answer
    is that of a header. `csv_delimiter` is None if it is that of the content type. `answer_format` is how an answer
    holds those of several records; None if it is not known. `error_threshold` is that of Azure's batch endpoints and of
    Step Functions' Distributed Map: the number or the percentage of records that may fail. `record_format` is what a
    line is, None if its first record decides it, and `request_url` the url that each request of an OpenAI batch file
    must have.
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
    csv_header: Annotated[Literal["none", "drop", "repeat"], BeforeValidator(_csv_header)] = "none"
    csv_delimiter: Annotated[Literal[",", ";", "\t", "|", None], BeforeValidator(_csv_delimiter)] = None
    answer_format: Annotated[AnswerFormat | None, BeforeValidator(_answer_format)] = None
    error_threshold: Annotated[ErrorThreshold, BeforeValidator(_error_threshold)] = ErrorThreshold()
    record_format: Literal["Line", "OpenAIBatch"] | None = None
    request_url: Annotated[str, Field(min_length=1)] | None = None
    _metadata: frozenset[str] = PrivateAttr(default=frozenset())  # the names that the object's metadata has

    def delimiter(self, content_type: str) -> bytes:
        """What separates the fields of a record."""
        return delimiter_of(content_type) if self.csv_delimiter is None else self.csv_delimiter.encode()

    def check_type(self, content_type: str) -> None:
        """Raises `Failure` (invalid) for metadata of the object that says nothing of records of its content type.

        The deployment's defaults are for files of all types.
        """
        given = sorted(self._metadata & _OF_CSV)
        if given and self.split_type == "Line" and syntax_of(content_type) is not Syntax.CSV:
            raise invalid(
                given[0],
                f"is for records of CSV, and the content type is {base_type(content_type)[:80]}; set the file's "
                f"metadata content-type to text/csv, or omit {given[0]}",
            )

    @property
    def has_header(self) -> bool:
        """Whether the first record of a file of CSV only names the columns. One that is not split is sent whole."""
        return self.csv_header != "none" and self.split_type == "Line"

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], defaults: Mapping[str, Any]) -> Self:
        """The options that an object's user metadata sets, each under its name in kebab case; `defaults` for the rest.

        An object that is set to be an OpenAI batch file has no defaults for records of another kind. Raises `Failure`
        (invalid) naming the metadata that breaks a rule.
        """
        if metadata.get("record-format") == "OpenAIBatch":
            defaults = {name: value for name, value in defaults.items() if name not in _OF_LINES}
        keys = {to_pascal(name): name.replace("_", "-") for name in cls.model_fields}
        keys = {name: key for name, key in keys.items() if key in metadata}
        given: dict[str, Any] = dict(defaults) | {name: metadata[key] for name, key in keys.items()}
        try:
            options = cls.model_validate(given)
        except PathError as error:
            raise invalid("input-filter or output-filter", str(error)) from None
        except ValidationError as error:
            raise explain(error, names=keys) from None
        options._metadata = frozenset(keys.values())
        return options


def chunk_bytes(size: int) -> int:
    """How large the ranges of a file of `size` bytes are: about a thousand of them, or more of the largest size."""
    return min(MAX_CHUNK_BYTES, max(_MIN_CHUNK_BYTES, -(-size // _PARTS)))
