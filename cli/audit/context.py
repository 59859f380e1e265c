"""What the checks of an audit have in common."""

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TypeVar

from botocore.exceptions import ClientError

from cli.audit.dead_letters import Failed
from cli.audit.logged import Logged
from cli.audit.report import Report
from cli.audit.waiting import Waiting
from cli.backfill.listing import list_outcomes
from cli.deployment import Deployment
from cli.lookup.objects import ObjectHead, head_object

_T = TypeVar("_T")

_AT_ONCE = 1000  # tasks that are submitted together, so that the memory does not depend on their number
THREADS = 16


@dataclass(frozen=True, slots=True)
class Context:
    """The deployment, what is known of it, and where the findings go. Only names with `prefix` are checked.

    `dead_lettered` are the requests whose dead letters were received; empty unless that was asked for. If
    `reads_every_owner`, the metadata of a result is read even where the listings leave no doubt about its owner.
    """

    deployment: Deployment
    report: Report
    logged: Logged
    waiting: Waiting
    dead_lettered: Collection[Failed]
    prefix: str
    reads_every_owner: bool
    pool: ThreadPoolExecutor
    on_progress: Callable[[str], None]

    def within(self, family: str) -> str | None:
        """The prefix of the names that begin with both `family` and the audit's prefix; None when there is none."""
        if self.prefix.startswith(family):
            return self.prefix
        return family if family.startswith(self.prefix) else None

    def uri(self, key: str) -> str:
        """The S3 URI of an object in the results bucket."""
        return f"s3://{self.deployment.results_bucket}/{key}"

    def head(self, key: str) -> ObjectHead | None:
        """HeadObject of an object in the results bucket; None without one. Raises botocore's errors."""
        return head_object(self.deployment, self.deployment.results_bucket, key)

    def list_results(self, prefix: str) -> Iterator[tuple[str, datetime]]:
        """The keys under `prefix` in the results bucket, and when each was written. Raises botocore's errors."""
        listed = list_outcomes(self.deployment.s3, self.deployment.results_bucket, prefix, "")
        for number, item in enumerate(listed, start=1):
            if number % _AT_ONCE == 0:
                self.on_progress(f"{number:,} objects under {prefix}")
            yield item

    def was_deleted(self, key: str) -> bool:
        """Whether the object in the results bucket was deleted, and an earlier version of it is still there."""
        try:
            page = self.deployment.s3.list_object_versions(Bucket=self.deployment.results_bucket, Prefix=key, MaxKeys=2)
        except ClientError:  # it is only said in addition
            return False
        return any(marker["Key"] == key and marker["IsLatest"] for marker in page.get("DeleteMarkers", []))

    def in_parallel(self, function: Callable[[_T], None], items: Iterable[_T]) -> None:
        """Call `function` with each item, in threads. Raises what it raises."""
        remaining = iter(items)
        while batch := list(islice(remaining, _AT_ONCE)):
            for _ in self.pool.map(function, batch):
                pass
