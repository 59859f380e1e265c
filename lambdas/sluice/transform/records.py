"""Records on their way to the model and back: filtered, counted, joined, each in one line."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sluice.inputs.strict_json import TooDeep, compact_bytes, loads
from sluice.transform.content_types import CSV, JSON_LINES, base_type
from sluice.transform.options import Options
from sluice.transform.paths import NotThere, Path


class RecordError(Exception):
    """A record cannot be sent, or its answer not be joined with it; the text says why."""


@dataclass(frozen=True, slots=True)
class Codec:
    """Reads and writes records of one content type. Text that is neither CSV nor JSON lines cannot be filtered."""

    content_type: str

    @property
    def base(self) -> str:
        """The content type without its parameters."""
        return base_type(self.content_type)

    def load(self, line: bytes) -> Any:
        """The record as a value that paths look into. Raises `RecordError`."""
        try:
            text = line.decode()
            if self.base == CSV:
                rows = list(csv.reader(io.StringIO(text), strict=True))
                if len(rows) != 1:
                    raise RecordError(f"is not {CSV}: it is {len(rows)} rows")
                return rows[0]
            if self.base == JSON_LINES:
                return loads(text)
        except UnicodeDecodeError as error:
            raise RecordError(f"is not {self.base}: no UTF-8 at byte {error.start + 1}") from None
        except TooDeep as error:
            raise RecordError(str(error)) from None
        except json.JSONDecodeError as error:
            raise RecordError(f"is not {self.base}: {error.msg} at column {error.colno}") from None
        except csv.Error as error:
            raise RecordError(f"is not {self.base}: {error}") from None
        except ValueError:
            raise RecordError(f"is not {self.base}: an integer has too many digits") from None
        raise RecordError(f"can't be filtered or joined, as it is {self.base}: use text/csv or application/jsonlines")

    def dump(self, value: Any) -> bytes:
        """A value as one line."""
        if self.base == CSV:
            buffer = io.StringIO()
            cells = value if isinstance(value, list) else [value]
            csv.writer(buffer, lineterminator="").writerow(
                [cell if isinstance(cell, str) else json.dumps(cell) for cell in cells]
            )
            return buffer.getvalue().encode()
        return compact_bytes(value)


def check_csv(line: bytes) -> None:
    """Raises `RecordError` for a line of CSV that ends within quotes: its field continues in the next line.

    In CSV without line breaks in fields, every line has an even number of quotes (RFC 4180).
    """
    if line.count(b'"') % 2:
        raise RecordError("ends within a quoted field")


def filtered(line: bytes, path: Path, codec: Codec) -> bytes:
    """`line` as InputFilter leaves it. Raises `RecordError`."""
    if path.is_root:
        return line
    try:
        found = path.find(codec.load(line))
    except NotThere:
        raise RecordError("the InputFilter finds nothing in it, or not all the indices that it names") from None
    if codec.base == CSV and found == []:
        raise RecordError("the InputFilter leaves nothing of it")
    return codec.dump(found)


def joined(line: bytes, answer: bytes, options: Options, codec: Codec) -> bytes:
    """A record's line in the result: its answer, joined with the record and filtered if the options say so.

    As Batch Transform does it (DataProcessing): CSV gets the answer's columns at the end of the row; a JSON object gets
    it as `SageMakerOutput`, any other JSON becomes {"SageMakerInput": …, "SageMakerOutput": …}. Raises `RecordError`.
    """
    if options.join_source == "None" and options.output_filter.is_root:
        return answer
    if options.join_source == "None":
        value: Any = codec.load(answer)
    elif codec.base == CSV:
        value = [*codec.load(line), *codec.load(answer)]
    else:
        record, output = codec.load(line), _loaded(answer)
        both = {"SageMakerInput": record, "SageMakerOutput": output}
        value = {**record, "SageMakerOutput": output} if isinstance(record, dict) else both
    try:
        return codec.dump(options.output_filter.find(value))
    except NotThere:
        raise RecordError(
            "the OutputFilter finds nothing in the record and its answer, or not all the indices that it names"
        ) from None


def _loaded(answer: bytes) -> Any:
    try:
        return loads(answer)
    except TooDeep as error:
        raise RecordError(f"its answer {error}") from None
    except ValueError:
        return answer.decode(errors="replace")


def payloads(sizes: Sequence[int], most_bytes: Callable[[], int], *, single: bool) -> Iterator[list[int]]:
    """Which lines are sent together: as many as fit into `most_bytes`, or each by itself. Empty lines are not sent.

    `most_bytes` is called for each group, when the group before it is done.
    """
    group: list[int] = []
    most = together = 0
    for index, size in enumerate(sizes):
        if not size:
            continue
        if group and (single or together + size + 1 > most):
            yield group
            group = []
        if not group:
            most, together = most_bytes(), 0
        group.append(index)
        together += size + 1
    if group:
        yield group
