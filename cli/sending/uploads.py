"""Plans, checks and uploads the files of `sluice drop`."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from boto3.s3.transfer import ProgressCallbackInvoker, TransferConfig, create_transfer_manager

from cli.deployment import Deployment
from cli.errors import CliError, ExitCode
from sluice.failures import Failure, invalid
from sluice.inputs.invocation import BY_METADATA, message_from_metadata, type_of_name
from sluice.inputs.message import PARAMETERS
from sluice.keys import INVOKE_PREFIX, TRANSFORM_PREFIX, object_name
from sluice.settings import Settings
from sluice.transform.options import Options

_MAX_METADATA_BYTES = 2048  # S3 limit for user-defined metadata, names and values together
_SIMILARITY = 0.8  # at least this similar to a known name, a name is considered a typo
_KNOWN_METADATA = {*BY_METADATA, *(name.replace("_", "-") for name in Options.model_fields)}


@dataclass(frozen=True, slots=True)
class PlannedUpload:
    """A file to upload, and its key in the input bucket. `size` is in bytes."""

    path: Path
    key: str
    size: int
    content_type: str | None


def key_prefix(to: str, endpoint_name: str | None) -> str:
    """The prefix of the keys for `--to` and `--endpoint-name`.

    Raises `CliError` when objects below it are not requests.
    """
    prefix = f"{to.rstrip('/')}/"
    if not prefix.startswith((INVOKE_PREFIX, TRANSFORM_PREFIX)):
        raise CliError(f"--to: {to} must begin with {INVOKE_PREFIX} or {TRANSFORM_PREFIX}", ExitCode.USAGE)
    if endpoint_name is None:
        return prefix
    if prefix not in {INVOKE_PREFIX, TRANSFORM_PREFIX}:
        raise CliError(
            "--endpoint-name: becomes the first folder, so --to must be invoke/ or transform/ itself", ExitCode.USAGE
        )
    return f"{prefix}{endpoint_name}/"


def plan_uploads(paths: Iterable[Path], prefix: str, content_type: str | None) -> list[PlannedUpload]:
    """The uploads for files and folders. Raises `CliError` when there are none, or two files have the same key."""
    uploads: dict[str, PlannedUpload] = {}
    for path, name in _files(paths):
        try:
            name.encode()
        except UnicodeEncodeError:
            raise CliError(f"{str(path)!r}: its name is not UTF-8, as a key must be", ExitCode.USAGE) from None
        key = prefix + name
        if key in uploads and uploads[key].path != path:
            raise CliError(f"{path}, {uploads[key].path}: both would be {key}", ExitCode.USAGE)
        uploads[key] = PlannedUpload(path, key, path.stat().st_size, content_type or type_of_name(name))
    if not uploads:
        raise CliError("there is no file to upload", ExitCode.USAGE)
    return list(uploads.values())


def parse_metadata(pairs: Sequence[str]) -> dict[str, str]:
    """The `NAME=VALUE` pairs as S3 user-defined metadata. Raises `CliError` for typos and what S3 rejects."""
    metadata: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise CliError(f"--metadata: {pair!r} must be NAME=VALUE", ExitCode.USAGE)
        if not pair.isascii() or not pair.isprintable():
            raise CliError(f"--metadata: {name} must be printable ASCII, which is all that S3 takes", ExitCode.USAGE)
        kebab = PARAMETERS.get(name, name).replace("_", "-").lower()
        similar = difflib.get_close_matches(kebab, _KNOWN_METADATA, n=1, cutoff=_SIMILARITY)
        if name.lower() not in _KNOWN_METADATA and similar:
            raise CliError(f"--metadata: {name} is not a parameter; did you mean {similar[0]}?", ExitCode.USAGE)
        metadata[name.lower()] = value
    size = sum(len(name) + len(value) for name, value in metadata.items())
    if size > _MAX_METADATA_BYTES:
        raise CliError(f"--metadata: {size} bytes are over the {_MAX_METADATA_BYTES} that S3 takes", ExitCode.USAGE)
    return metadata


def check_uploads(
    uploads: Sequence[PlannedUpload],
    metadata: Mapping[str, str],
    settings: Settings | None,
    endpoint_name: str | None,
    input_bucket: str,
) -> None:
    """Raise `Failure` (invalid) when the functions would reject an upload.

    Without `settings`, only the rules that hold for every deployment are checked.
    """
    message = message_from_metadata(metadata, endpoint_name)
    requested = endpoint_name or message.endpoint_name
    if settings and requested and requested not in settings.endpoint_names:
        raise invalid("EndpointName", f"is not one of this deployment's: {', '.join(settings.endpoint_names)}")
    for upload in uploads:
        try:
            object_name(input_bucket, upload.key, input_bucket)
        except Failure as failure:
            raise invalid(str(upload.path), failure.message) from None
        if upload.key.startswith(TRANSFORM_PREFIX):
            Options.from_metadata(metadata, settings.transform_defaults if settings else {})
        elif settings and upload.size > settings.max_body_bytes:
            raise invalid(
                str(upload.path),
                f"{upload.size:,} bytes are over the deployment's max_body_bytes, {settings.max_body_bytes:,}",
            )


def upload_files(
    deployment: Deployment,
    uploads: Sequence[PlannedUpload],
    metadata: Mapping[str, str],
    on_progress: Callable[[int], object],
) -> None:
    """Upload the files in parallel. `on_progress` is called with the number of bytes of each chunk.

    Raises `CliError` when a file can't be read, and boto3's errors.
    """
    with create_transfer_manager(deployment.s3, TransferConfig()) as manager:
        futures = []
        for upload in uploads:
            content_type = {"ContentType": upload.content_type} if upload.content_type else {}
            futures.append(
                manager.upload(
                    str(upload.path),
                    deployment.input_bucket,
                    upload.key,
                    extra_args={"Metadata": dict(metadata), **content_type},
                    subscribers=[ProgressCallbackInvoker(on_progress)],
                )
            )
        for upload, future in zip(uploads, futures, strict=True):
            try:
                future.result()
            except OSError as error:
                raise CliError(f"{upload.path}: {error.strerror}") from None


def _files(paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Each file with its path relative to the given folder. Hidden files in folders are left out."""
    for path in paths:
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                relative = file.relative_to(path)
                if file.is_file() and not any(part.startswith(".") for part in relative.parts):
                    yield file, relative.as_posix()
        else:
            yield path, path.name
