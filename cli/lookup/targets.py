"""What a text on the command line may identify: the key of an input, the name or key of a result, or an ID."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sluice.failures import Failure, invalid
from sluice.inputs.identity import owner_of_message
from sluice.keys import (
    ERR,
    FILES_PREFIX,
    INVOKE_PREFIX,
    MESSAGES_PREFIX,
    OTHER_BUCKETS_PREFIX,
    OUT,
    TRANSFORM_PREFIX,
    error_name_of,
    file_name,
    id_and_filename,
    message_name,
    object_name,
)

_MAX_ID = 64  # characters of an InferenceId and of a TraceId
INPUT_PREFIXES = (INVOKE_PREFIX, TRANSFORM_PREFIX)
MESSAGE_PREFIXES = (MESSAGES_PREFIX, FILES_PREFIX)


@dataclass(frozen=True, slots=True)
class Target:
    """A request to look up. `name` is that of its result, and `error_name` that of its `.err`, None if not known.

    `owner` is the `Identity.owner` of its outcome, None if any outcome with the name is meant. `message_id` is the SQS
    message whose outcome is meant: the failure of another message with the same InferenceId is an earlier one.
    `logged_as` are the fields of a log line, at least one of which identifies the request.
    """

    name: str
    error_name: str | None
    owner: str | None = None
    message_id: str | None = None
    logged_as: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def is_of_message(self) -> bool:
        """Whether it is a message that was sent, and no object."""
        return self.owner is not None or self.name.startswith(MESSAGE_PREFIXES)

    @property
    def is_input(self) -> bool:
        """Whether it is an object under `invoke/` or `transform/`, which is a request as soon as it is uploaded."""
        return self.name.startswith(INPUT_PREFIXES)


@dataclass(frozen=True, slots=True)
class Query:
    """A `text`, and what it may identify, in the order in which that is looked for.

    `problem` says why the text, which looks like a key, can't be one.
    """

    text: str
    targets: tuple[Target, ...]
    problem: str | None = None

    def of_message(self, message_id: str) -> "Query":
        """The query for the outcome of this SQS message: that of another message of the request is an earlier one."""
        targets = (replace(one, message_id=message_id, logged_as={"message_id": message_id}) for one in self.targets)
        return replace(self, targets=tuple(targets))


def query_for(text: str, input_bucket: str, results_bucket: str) -> Query:
    """The query for a text: as a key or a name first, then as an ID.

    Raises `Failure` (invalid) for a key that can have no result, if it can't be an ID either.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise invalid("request", "is not UTF-8") from None
    targets: list[Target] = []
    problem: Failure | None = None
    try:
        targets += [_named(name) for name in _names(text, input_bucket, results_bucket)]
    except Failure as failure:
        problem = failure
        if len(text) > _MAX_ID or not text.isprintable():
            raise
    is_id = 0 < len(text) <= _MAX_ID and text.isprintable()
    if not targets and not is_id:
        raise invalid("request", f"must be a key, the name of a result, or an ID: 1 to {_MAX_ID} printable characters")
    if is_id:
        targets.append(_identified(text))
    return Query(text, tuple(targets), problem.message if problem else None)


def named(name: str) -> Query:
    """The query for the request whose result is called `name`, and for nothing else."""
    return Query(name, (_named(name),))


def sent_message(name: str, inference_id: str) -> Query:
    """The query for a message that the command sends, whose result is called `name`."""
    return Query(name, (replace(_of_message(name, inference_id), logged_as={"inference_id": inference_id}),))


def logged_target(name: str, fields: Mapping[str, str]) -> Target:
    """The request of a log line with these `fields`, whose result is called `name`."""
    if not name.startswith(MESSAGE_PREFIXES):
        return Target(name, name)
    return _of_message(name, fields.get("inference_id") or fields["message_id"])


def _of_message(name: str, request_id: str) -> Target:
    return Target(name, error_name_of(name, request_id), owner_of_message(request_id, name))


def _names(text: str, input_bucket: str, results_bucket: str) -> list[str]:
    """The names of results that a text may mean. Raises `Failure` (invalid) as `object_name` does."""
    if text.startswith("s3://"):
        bucket, _, key = text.removeprefix("s3://").partition("/")
        if bucket == results_bucket:
            return [_without_suffix(key)]
        return [object_name(bucket, key, input_bucket)]
    if not text.startswith((*INPUT_PREFIXES, *MESSAGE_PREFIXES, OTHER_BUCKETS_PREFIX)):
        return []
    if text.startswith(INPUT_PREFIXES):
        object_name(input_bucket, text, input_bucket)
    # An input may be called `a.out`, and so may an InferenceId. The key of a result is printed, too.
    return list(dict.fromkeys((text, _without_suffix(text))))


def _without_suffix(key: str) -> str:
    return next((key.removesuffix(suffix) for suffix in (OUT, ERR) if key.endswith(suffix)), key)


def _named(name: str) -> Target:
    # The name of a message's result or `.err` tells its ID; with a Filename only the `.err` and the logs do.
    if name.startswith(FILES_PREFIX):
        return Target(name, None, logged_as={"result": name})
    if name.startswith(MESSAGES_PREFIX) and all(found := id_and_filename(name)):
        request_id, filename = found
        folder = name.removeprefix(MESSAGES_PREFIX).rpartition("/")[0]
        named_after = file_name(filename, folder=folder)
        return replace(_of_message(named_after, request_id), logged_as={"result": named_after})
    return Target(name, name, logged_as={"result": name})


def _identified(text: str) -> Target:
    logged_as = dict.fromkeys(("trace_id", "inference_id", "message_id"), text)
    return Target(message_name(text), message_name(text), logged_as=logged_as)
