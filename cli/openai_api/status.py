"""The status of a batch, from what its dataset has in the results bucket."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from cli.openai_api import ids
from cli.openai_api.results import ERRORS, OUTPUT, Found, Results
from sluice import keys
from sluice.error_codes import ErrorCode
from sluice.transform.progress import count, covering_parts, succeeded

_THREADS = 8
_MAX_KNOWN = 100_000  # parts


class Statuses:
    """The statuses. The counts of parts are kept, because parts do not change."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._store = results.store
        self._counts: dict[str, tuple[int, int]] = {}

    def of(self, token: str, size: int) -> dict[str, Any]:
        """The fields of a batch that change while it is processed. `size` is that of its requests in bytes."""
        found = self._results.find(token)
        if found.has(keys.OUT):
            return self._completed(token, found)
        if found.has(keys.ERR):
            return self._failed(token, found)
        return self._open(token, size)

    def _open(self, token: str, size: int) -> dict[str, Any]:
        name = ids.input_key(token)
        listed = {one.key: one for one in self._store.list(keys.parts_folder(name))}
        known = next((key for key in listed if key == keys.batch_key(keys.folder_of_part(key))), None)
        if known is None:
            return {"status": "validating", "request_counts": _numbers(0, 0, 0)}
        parts = [key for _, _, key in keys.stored_parts(listed)]
        done = list(self._done(parts))
        covering = covering_parts(parts, size)
        document = json.loads(self._store.read(known) or b"{}")
        return {
            "status": "in_progress" if covering is None else "finalizing",
            "in_progress_at": _unix(listed[known].modified),
            "finalizing_at": None if covering is None else _unix(max(listed[key].modified for key in parts)),
            "request_counts": _numbers(
                document.get("requests", 0), sum(one for one, _ in done), sum(one for _, one in done)
            ),
        }

    def _done(self, parts: list[str]) -> Iterator[tuple[int, int]]:
        """The answered and the failed requests of each part."""
        new = [key for key in parts if key not in self._counts]
        if len(self._counts) + len(new) > _MAX_KNOWN:
            self._counts.clear()
            new = parts
        with ThreadPoolExecutor(_THREADS) as executor:
            for key, metadata in zip(new, executor.map(self._store.metadata, new), strict=True):
                self._counts[key] = succeeded(metadata), count(metadata, "failed")
        return (self._counts[key] for key in parts)

    def _completed(self, token: str, found: Found) -> dict[str, Any]:
        return {
            "status": "completed",
            **self._summary(token, found),
            "completed_at": _unix(found.modified(keys.OUT)),
            **_files(token, found),
        }

    def _failed(self, token: str, found: Found) -> dict[str, Any]:
        """The status of a file that failed. If each of its requests failed, OpenAI calls a batch completed."""
        failed_at = _unix(found.modified(keys.ERR))
        document = json.loads(self._store.read(ids.input_key(token) + keys.ERR) or b"{}")
        code, message = document.get("ErrorCode"), document.get("ErrorMessage")
        if code == ErrorCode.NO_RECORD_SUCCEEDED and found.has(keys.ERRORS) and not self._is_stopped(token, found):
            return {
                "status": "completed",
                **self._summary(token, found),
                "completed_at": failed_at,
                **_files(token, found),
            }
        errors = {"object": "list", "data": [{"code": code, "message": message, "param": None, "line": None}]}
        if code == ErrorCode.EXPIRED:
            return {"status": "expired", "expired_at": failed_at, "errors": errors}
        return {"status": "failed", "failed_at": failed_at, "errors": errors}

    def _counts_of(self, token: str, found: Found) -> Mapping[str, Any]:
        stored = self._store.read(ids.input_key(token) + keys.SUMMARY) if found.has(keys.SUMMARY) else None
        summary: Mapping[str, Any] = json.loads(stored or b"{}")
        return summary

    def _is_stopped(self, token: str, found: Found) -> bool:
        """Whether requests of a file that failed were not tried."""
        return bool(self._counts_of(token, found).get("untried"))

    def _summary(self, token: str, found: Found) -> dict[str, Any]:
        summary = self._counts_of(token, found)
        answered, failed = summary.get("succeeded", 0), summary.get("failed", 0)
        return {
            "request_counts": _numbers(answered + failed, answered, failed),
            "in_progress_at": _parsed(summary.get("started")),
            "finalizing_at": _parsed(summary.get("finished")),
        }


def _files(token: str, found: Found) -> dict[str, str | None]:
    return {
        "output_file_id": ids.result_id(token, OUTPUT) if OUTPUT in found.kinds else None,
        "error_file_id": ids.result_id(token, ERRORS) if ERRORS in found.kinds else None,
    }


def _numbers(total: int, completed: int, failed: int) -> dict[str, int]:
    return {"total": total, "completed": completed, "failed": failed}


def _unix(when: datetime) -> int:
    return int(when.timestamp())


def _parsed(text: str | None) -> int | None:
    return _unix(datetime.fromisoformat(text)) if text else None
