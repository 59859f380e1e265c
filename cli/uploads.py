"""What `sluice drop` uploads: planned and checked first, then uploaded together."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from boto3.s3.transfer import ProgressCallbackInvoker, TransferConfig, create_transfer_manager

from cli.deployment import Deployment
from cli.errors import CliError, ExitCode
from sluice.failures import invalid
from sluice.inputs.invocation import BY_METADATA, message_from_metadata, type_of_name
from sluice.inputs.message import PARAMETERS
from sluice.keys import TRANSFORM_PREFIX, object_name
from sluice.settings import Settings
from sluice.transform.options import Options

_MAX_METADATA_BYTES = 2048  # S3: names and values together
_CLOSE = 0.8  # how like a known name another must be to be taken for a typo of it
_TRANSFORM_OPTIONS = {name.replace("_", "-") for name in Options.model_fields}

_KNOWN = {*BY_METADATA, *_TRANSFORM_OPTIONS}


@dataclass(frozen=True, slots=True)
class Upload:
    """One file and where it goes."""

    path: Path
    key: str
    size: int
    content_type: str | None


def planned(paths: Iterable[Path], folder: str, content_type: str | None) -> list[Upload]:
    """What is to be uploaded. Raises `CliError` when it is nothing, or two files would have one key."""
    uploads: dict[str, Upload] = {}
    for path, name in _files(paths):
        try:
            name.encode()
        except UnicodeEncodeError:
            raise CliError(f"{str(path)!r}: its name is not UTF-8, as a key must be", ExitCode.USAGE) from None
        key = folder + name
        if key in uploads and uploads[key].path != path:
            raise CliError(f"{path}, {uploads[key].path}: both would be {key}", ExitCode.USAGE)
        uploads[key] = Upload(path, key, path.stat().st_size, content_type or type_of_name(name))
    if not uploads:
        raise CliError("there is no file in it to upload", ExitCode.USAGE)
    return list(uploads.values())


def _files(paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Each file, and its name below the folder that it goes to."""
    for path in paths:
        if path.is_dir():
            for found in sorted(path.rglob("*")):
                inside = found.relative_to(path)
                if found.is_file() and not any(part.startswith(".") for part in inside.parts):
                    yield found, inside.as_posix()
        else:
            yield path, path.name


def metadata_of(given: Sequence[str]) -> dict[str, str]:
    """`NAME=VALUE`s as S3 user metadata. Raises `CliError` for a typo, and for what S3 doesn't take."""
    metadata: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise CliError(f"--metadata: {one!r} must be NAME=VALUE", ExitCode.USAGE)
        if not one.isascii() or not one.isprintable():
            raise CliError(f"--metadata: {name} must be printable ASCII, as S3 takes nothing else", ExitCode.USAGE)
        kebab = PARAMETERS.get(name, name).replace("_", "-").lower()
        if name.lower() not in _KNOWN and (close := difflib.get_close_matches(kebab, _KNOWN, n=1, cutoff=_CLOSE)):
            raise CliError(f"--metadata: {name} is not a parameter; did you mean {close[0]}?", ExitCode.USAGE)
        metadata[name.lower()] = value
    size = sum(len(name) + len(value) for name, value in metadata.items())
    if size > _MAX_METADATA_BYTES:
        raise CliError(f"--metadata: {size} bytes are over the {_MAX_METADATA_BYTES} that S3 takes", ExitCode.USAGE)
    return metadata


def check(
    uploads: Sequence[Upload],
    metadata: Mapping[str, str],
    settings: Settings | None,
    endpoint_name: str | None,
    input_bucket: str,
) -> None:
    """Raise `Failure` (invalid) where the functions would; by `settings`, too, where they are known."""
    message = message_from_metadata(metadata, endpoint_name)
    named = endpoint_name or message.endpoint_name
    if settings and named and named not in settings.endpoint_names:
        raise invalid("EndpointName", f"is not one of this deployment's: {', '.join(settings.endpoint_names)}")
    for one in uploads:
        object_name(input_bucket, one.key, input_bucket)
        if one.key.startswith(TRANSFORM_PREFIX):
            Options.from_metadata(metadata, settings.transform_defaults if settings else {})
        elif settings and one.size > settings.max_body_bytes:
            raise invalid(
                str(one.path),
                f"{one.size:,} bytes are over the deployment's max_body_bytes, {settings.max_body_bytes:,}",
            )


def upload(
    deployment: Deployment,
    uploads: Sequence[Upload],
    metadata: Mapping[str, str],
    progress: Callable[[int], object],
) -> None:
    """Upload all of them, several at a time. `progress` is told of bytes as they go. Raises `CliError`."""
    with create_transfer_manager(deployment.s3, TransferConfig()) as manager:
        futures = []
        for one in uploads:
            how = {"ContentType": one.content_type} if one.content_type else {}
            futures.append(
                manager.upload(
                    str(one.path),
                    deployment.input_bucket,
                    one.key,
                    extra_args={"Metadata": dict(metadata), **how},
                    subscribers=[ProgressCallbackInvoker(progress)],
                )
            )
        for one, future in zip(uploads, futures, strict=True):
            try:
                future.result()
            except OSError as error:
                raise CliError(f"{one.path}: {error.strerror}") from None
