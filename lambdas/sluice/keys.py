"""Names in the buckets: every prefix and suffix, and how results, failures, datasets and their parts are named.

A name is the key of a result without its suffix: `invoke/a.csv` has the result `invoke/a.csv.out`. S3 object keys are
at most 1,024 bytes of UTF-8 (S3 User Guide, "Naming Amazon S3 objects").
"""

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote

from sluice.failures import invalid

INVOKE_PREFIX = "invoke/"
TRANSFORM_PREFIX = "transform/"
PARTS_PREFIX = "parts/"  # apart from the results, because a lifecycle rule selects objects by prefix
MESSAGES_PREFIX = "messages/"
FILES_PREFIX = "files/"  # apart from those that are named after an ID: a sender could name a file as another's ID
OTHER_BUCKETS_PREFIX = "buckets/"

OUT = ".out"
ERR = ".err"
ERRORS = ".errors.jsonl"  # the refused records of a dataset
SUMMARY = ".summary.json"  # the counts of a dataset
_UNPACKED = "unpacked"
_WITH_FILENAME = "@"

_MAX_KEY_BYTES = 1024 - len(OUT)
_PART_KEY_BYTES = 136  # "parts/", the version, where a part begins and ends, its run, ".errors.<digest>.jsonl"
_SAFE = "!_.*'()-"  # the characters that S3 recommends for keys; others in an InferenceId are percent-encoded
_DIGITS = 15
_RUN = r"\d{13}[0-9a-f]{8}"
_ALONE_MARK = "s"  # after a retry, for a part whose records it has sent alone; no digit of a run
_STEM = rf"(\d{{{_DIGITS}}})-(\d{{{_DIGITS}}})(?:\.({_RUN}{_ALONE_MARK}?))?"
_PART = re.compile(rf"/({_STEM}){re.escape(OUT)}$")
_PART_ERRORS = re.compile(rf"/({_STEM})\.errors\.([^/.]*)\.jsonl$")
_UNTRIED = "untried"  # before or in place of the digest, which is hexadecimal, in the name of a part's errors
ALONE = "0" * 21  # in place of a retry, for a part of a first run whose records were sent alone; before all retries
RUN_PATTERN = rf"^{_RUN}$"
STEM_PATTERN = rf"^{_STEM}$"


def message_name(request_id: str, *, folder: str = "", filename: str = "") -> str:
    """The name of a message's `.err`, and of its result unless it has a Filename.

    `request_id` is the InferenceId or the SQS message ID, `folder` S3OutputPathExtension, and `filename` Filename. A
    folder with a part `.` or `..` is ignored: the message is invalid, and its `.err` is stored as without a folder.
    """
    quoted = quote(request_id, safe=_SAFE)  # which leaves no "@"
    last = f"{quoted}{_WITH_FILENAME}{filename.removesuffix(OUT)}" if filename else quoted
    return MESSAGES_PREFIX + _below(folder, last)


def id_and_filename(name: str) -> tuple[str, str]:
    """The ID and the Filename, or an empty text, in the name of a message's `.err`."""
    quoted, _, filename = name.rpartition("/")[2].partition(_WITH_FILENAME)
    return unquote(quoted), filename


def error_name_of(name: str, request_id: str) -> str:
    """The name of the `.err` of the message with this ID whose result is called `name`."""
    if not name.startswith(FILES_PREFIX):
        return name
    folder, _, filename = name.removeprefix(FILES_PREFIX).rpartition("/")
    return message_name(request_id, folder=folder, filename=filename)


def file_name(filename: str, *, folder: str = "") -> str:
    """The name of the result of a message with a Filename."""
    return FILES_PREFIX + _below(folder, filename.removesuffix(OUT))


def _below(folder: str, last: str) -> str:
    parts = folder.split("/")
    if "." in parts or ".." in parts:
        parts = []
    return "/".join([*filter(None, parts), last])


def object_name(bucket: str, key: str, input_bucket: str) -> str:
    """The name of a dropped object's result: its key, or for an object of another bucket, the key below its bucket.

    Raises `Failure` (invalid) when no result can have that name.
    """
    is_input = bucket == input_bucket
    if is_input and not key.startswith((INVOKE_PREFIX, TRANSFORM_PREFIX)):
        raise invalid("key", f"objects for inference are dropped under {INVOKE_PREFIX} or {TRANSFORM_PREFIX}")
    name = key if is_input else f"{OTHER_BUCKETS_PREFIX}{bucket}/{key}"
    if any(part in {".", ".."} for part in key.split("/")) or key.startswith("/"):
        raise invalid("key", "must not have '.' or '..' as a part, nor begin with '/'")
    if any(ord(char) < 32 or ord(char) == 127 for char in key):
        raise invalid("key", "must not hold control characters")
    limit = _MAX_KEY_BYTES - (_PART_KEY_BYTES if is_input and is_dataset(name) else 0)
    if len(name.encode()) > limit:
        raise invalid("key", f"must have at most {limit} bytes, so that the keys of its results have at most 1024")
    return name


def source_of(name: str, input_bucket: str) -> str | None:
    """The S3 URI of the dropped object whose result has this name; None for a message's."""
    if name.startswith((INVOKE_PREFIX, TRANSFORM_PREFIX)):
        return f"s3://{input_bucket}/{name}"
    if name.startswith(OTHER_BUCKETS_PREFIX):
        return f"s3://{name.removeprefix(OTHER_BUCKETS_PREFIX)}"
    return None


def is_dataset(name: str) -> bool:
    """Whether a name, or a key in the input bucket, is that of a dataset: a file that is transformed line by line."""
    return name.startswith(TRANSFORM_PREFIX)


def first_folder(key: str) -> str:
    """The first folder below `invoke/` or `transform/`, which may name an endpoint."""
    return key.removeprefix(INVOKE_PREFIX).removeprefix(TRANSFORM_PREFIX).partition("/")[0]


def parts_folder(name: str, version: str = "") -> str:
    """The prefix of a dataset's parts: those of one `version` (its `Identity.key`), or of all of them."""
    folder = f"{PARTS_PREFIX}{name}/"
    return f"{folder}{version}/" if version else folder


def part_name(folder: str, start: int, end: int, run: str = "") -> str:
    """The name of the part with the bytes `start` to `end`, of the retry `run`. Names sort as the parts do."""
    return f"{folder}{part_position(start)}-{part_position(end)}{'.' * bool(run)}{run}"


def part_position(byte: int) -> str:
    """A byte's position in the name of a part. With it a listing can begin at that part."""
    return f"{byte:0{_DIGITS}d}"


def folder_of_part(name: str) -> str:
    """The prefix of a part's folder, which holds the other parts of its dataset, too."""
    return name.rpartition("/")[0] + "/"


def dataset_of_part(name: str) -> str | None:
    """The name of the dataset that a part belongs to; None when `name` is not the name of a part."""
    folder = name.rpartition("/")[0].rpartition("/")[0]
    return folder.removeprefix(PARTS_PREFIX) if folder.startswith(PARTS_PREFIX) else None


def stored_parts(keys: Iterable[str]) -> list[tuple[int, int, str]]:
    """Start, end and key of each part whose answers are stored, in order. `keys` are those of a parts folder."""
    return sorted((int(found[2]), int(found[3]), key) for key in keys if (found := _PART.search(key)))


def run_of_part(key: str) -> str:
    """The retry that has stored a part, or `ALONE`; else empty. `key` is one that `stored_parts` returns."""
    return _suffix(key).removesuffix(_ALONE_MARK)


def is_alone(key: str) -> bool:
    """Whether a stored part, whose key or stem is given, was stored after the format of its file was refuted."""
    suffix = _suffix(key)
    return suffix == ALONE or suffix.endswith(_ALONE_MARK)


def alone(run: str) -> str:
    """What the name of a part ends in that a retry stores after the format of its file was refuted."""
    return run + _ALONE_MARK


def _suffix(key: str) -> str:
    return key.rpartition("/")[2].removesuffix(OUT)[2 * _DIGITS + 2 :]


def stem_of_part(key: str) -> str:
    """The last segment of a stored part's name."""
    return key.rpartition("/")[2].removesuffix(OUT)


def parts_with_errors(keys: Iterable[str]) -> dict[str, bool]:
    """The stems of the parts of which records have no answer, and whether all of their records are to be sent again."""
    return {found[1]: found[5].startswith(_UNTRIED) for key in keys if (found := _PART_ERRORS.search(key))}


def part_errors(digest: str, *, untried: bool = False) -> str:
    """The suffix of a part's refused records. `digest` tells apart those of two deliveries of the part.

    `untried` says that no record of the part has an answer, and that not all were tried.
    """
    return f".errors.{_UNTRIED if untried else ''}{digest}.jsonl"


def untried_errors() -> str:
    """The suffix of the empty object that stands for the errors of a part whose records were not tried."""
    return part_errors(_UNTRIED)


def failure_key(folder: str, run: str) -> str:
    """The key of the failure of a run of a dataset, in the folder of its parts: whose dead letter stands for it."""
    return f"{folder}failed.{run}.json"


def given_up_prefix(folder: str, run: str) -> str:
    """The prefix of the objects that say which parts of a run of a dataset have found no answer."""
    return f"{folder}given-up.{run}."


def stop_key(folder: str, run: str) -> str:
    """The key of the object that says that a run of a dataset is over its ErrorThreshold."""
    return f"{folder}stopped.{run}.json"


def lines_key(folder: str) -> str:
    """The key of the number of lines of a dataset, in the folder of its parts."""
    return f"{folder}lines.json"


def answer_format_key(folder: str) -> str:
    """The key of the AnswerFormat of a dataset, in the folder of its parts."""
    return f"{folder}answer-format.json"


def probe_key(folder: str, start: int) -> str:
    """The key of the answers from which a part that begins at byte `start` has not found the AnswerFormat yet."""
    return f"{folder}{part_position(start)}.probe.json"


def batch_key(folder: str) -> str:
    """The key of what is known of the requests of an OpenAI batch file, in the folder of its parts."""
    return f"{folder}openai-batch.json"


def unpacked_key(folder: str) -> str:
    """The key of the content of a gzip file while it is transformed."""
    return folder + _UNPACKED
