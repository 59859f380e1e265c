"""The stored outcome of a request: its `.out` or its `.err`, if that is its own."""

from collections.abc import Sequence
from dataclasses import dataclass

from cli.deployment import Deployment
from cli.lookup import stored
from cli.lookup.failures import ErrorKey, Failures, StoredFailure
from cli.lookup.objects import Inputs, ObjectHead, Upload, head_object
from cli.lookup.status import RequestStatus
from cli.lookup.targets import Target
from sluice.inputs.identity import spare_error_name
from sluice.keys import ERR, OUT
from sluice.processing.result import SOURCE_VERSION, owner_of


@dataclass(frozen=True, slots=True)
class Found:
    """What the buckets hold of a request.

    `status` is that of its outcome, or pending when only an earlier failure of it is stored, which is `failure`; None
    without either. `upload` is the newest version of its object, if it is one.
    """

    status: RequestStatus | None = None
    failure: StoredFailure | None = None
    upload: Upload | None = None


class Outcomes:
    """Reads the outcomes of a deployment. Methods raise botocore's errors."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._inputs = Inputs(deployment)
        self._failures = Failures(deployment.s3, deployment.results_bucket)

    def find(self, target: Target) -> Found:
        """What the buckets hold of a request, whatever happens to it meanwhile."""
        # In this order, because a success writes its .out before it removes the .err: one of them is seen.
        failure = self._failures.find(target.error_name + ERR) if target.error_name else None
        out = head_object(self._deployment, self._deployment.results_bucket, target.name + OUT)
        upload = self._inputs.find(target.name)
        # A .out without an owner was not written by the functions, and they take it for nobody's.
        is_own = out is not None and owner_of(out) is not None and _is_of(out, target, upload)
        if out is not None and is_own and not _is_outdated(out, failure, target, upload):
            return Found(stored.succeeded(target.name, out), upload=upload)
        if failure is None or not _is_of(failure.head, target, upload):
            return Found(upload=upload)
        if failure.sent_again_at or target.message_id not in {None, failure.message_id}:
            return Found(stored.sent_again(target.name, failure), failure, upload)
        note = "s3:GetObjectTagging is not allowed, so it may have been sent again"
        return Found(
            stored.failed(target.name, failure, note if self._failures.tags_are_hidden else None), failure, upload
        )

    def spare_failure(self, target: Target, owner: str) -> StoredFailure | None:
        """The failure of an S3 event that its object did not confirm."""
        return None if target.is_of_message else self._failures.own(ErrorKey(spare_error_name(owner) + ERR, owner))

    def first(self, targets: Sequence[Target]) -> tuple[Found, Target]:
        """The first of `targets` of which the buckets hold something, and what they hold; else the first of all."""
        nothing: Found | None = None
        for target in targets:
            found = self.find(target)
            if found.status or (found.upload and target.is_input):
                return found, target
            nothing = nothing or found
        return nothing or Found(), targets[0]


def _is_outdated(out: ObjectHead, failure: StoredFailure | None, target: Target, upload: Upload | None) -> bool:
    """Whether the result is that of an older version than the failure beside it, of an object that is gone.

    An `.err` of another owner is that of a newer version: the functions never leave that of an older one.
    """
    if failure is None or target.is_of_message or upload is not None:
        return False
    return None not in (owners := {owner_of(out), owner_of(failure.head)}) and len(owners) > 1


def _is_of(head: ObjectHead, target: Target, upload: Upload | None) -> bool:
    """Whether an outcome is that of the request; for an object, of its newest version."""
    owner = owner_of(head)
    if target.owner is not None:
        return owner in {None, target.owner}
    if upload is None:
        return True
    if upload.identity is not None:
        return owner in {None, upload.identity}
    version = head.metadata.get(SOURCE_VERSION)
    return version in {None, upload.etag} or version.endswith("...")  # which was cut, because the metadata was full
