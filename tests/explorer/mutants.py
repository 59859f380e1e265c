"""The protocol with one guard less each. The explorer must find a violation in every one of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sluice.keys import stored_parts
from sluice.ports import ObjectHead
from sluice.processing import outcomes as protocol
from sluice.processing.file_failures import FileFailures
from sluice.processing.outcome import Outcome, Status
from sluice.processing.outcomes import Outcomes
from sluice.transform import assembler, part
from sluice.transform.part import PartHandler
from sluice.transform.splitter import Splitter
from tests.support.fakes import FakeBucket

_put = FakeBucket.put


async def _never(*_: Any) -> bool:
    return False


async def _always(*_: Any) -> bool:
    return True


async def _nothing(*_: Any, **_options: Any) -> None:
    return None


async def _unconditional_put(self: FakeBucket, key: str, body: bytes, **options: Any) -> str:
    return await _put(self, key, body, **{**options, "condition": None})


async def _without_looking_again(self: Any, attempt: Any, resolved: Callable[[], Any]) -> Any:
    """Only the first of the two looks for an answer counts."""
    if getattr(self, "has_looked", False):
        return None
    self.has_looked = True
    return await _resolve(self, attempt, resolved)


_resolve = Outcomes._without_failure


async def _resolved_unannounced(self: PartHandler, attempt: Any) -> Outcome | None:
    """A stored part is resolved, although the assembly may not have been requested."""
    is_done = (await self._rest_of(attempt)).request.start == attempt.request.end
    return attempt.ended(Status.DUPLICATE) if is_done else None


async def _record_failure(self: FileFailures, attempt: Any, document: bytes, resolved: Any) -> Outcome | None:
    return await self._outcomes.record_failure(attempt, document, resolved)


def _all_parts(names: Any, _: Any) -> list[str]:
    return [name for _, _, name in stored_parts(names)]


def _of_anybody(stored: ObjectHead) -> str | None:
    """The owner as it is stored, percent-encoded."""
    return stored.metadata.get("sluice-identity")


def _first_error_key(attempt: Any) -> list[str]:
    return [attempt.identity.error_name + ".err"]


_MUTANTS: dict[str, list[tuple[Any, str, Any]]] = {
    "an answer is not withdrawn": [(Outcomes, "_withdraw", _never)],
    "writes are unconditional": [(FakeBucket, "put", _unconditional_put)],
    "the .err is not looked for after a success": [(Outcomes, "clear_failure", _nothing)],
    "any .err may be replaced": [(Outcomes, "_may_replace", _always)],
    "no upload is outdated": [(Outcomes, "is_outdated", _never)],
    "the answer is not looked for again after the .err": [(Outcomes, "_without_failure", _without_looking_again)],
    "a recorded failure is called again": [(Outcomes, "failure_of", _nothing)],
    "a stored part is not announced again": [(PartHandler, "already_resolved", _resolved_unannounced)],
    "each part has a dead letter": [(FileFailures, "record", _record_failure)],
    "a retry is assembled after its first part": [(part, "of_run", _all_parts), (assembler, "of_run", _all_parts)],
    "a file that could not be split is not looked for": [(Splitter, "already_resolved", _nothing)],
    "an .err stays under the spare name": [(protocol, "error_keys", _first_error_key)],
    "the spare name is kept": [(Outcomes, "_give_up_spare", _nothing)],
    "owners are compared encoded": [(protocol, "owner_of", _of_anybody)],
}
NAMES = tuple(_MUTANTS)


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """Run the block with one guard less."""
    with pytest.MonkeyPatch.context() as patch:
        for target, attribute, replacement in _MUTANTS[name]:
            patch.setattr(target, attribute, replacement)
        yield
