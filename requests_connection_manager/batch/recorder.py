"""Between a batch and its journal: what is done already, and what is to be written.

Holds :class:`Recorder`, and the protocol :class:`Responses`, by which it reads and rebuilds the
responses of a library that it does not know.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Mapping, NamedTuple, Optional, Protocol

from ..exceptions import JournalError, RecordedFailure, public_name
from ..redaction import redact_text
from .items import Item
from .journal import Journal, JournalEntry, fingerprint, shown_url
from .result import BatchResult, Key

_log = logging.getLogger("requests_connection_manager")

_MAX_ERROR_CHARACTERS = 500

# Those that say how to read a body, or which one it is; none of them is a secret.
_KEPT_HEADERS = ("content-type", "content-language", "etag", "last-modified")


class Job:
    """An item that is to be done.

    :ivar index: which one of the input.
    :ivar key: by which a journal knows it.
    :ivar item: the call.
    :ivar fingerprint: what it has to be the same in, if that is asked.
    """

    __slots__ = ("fingerprint", "index", "item", "key")

    def __init__(self, index: int, key: Key, item: Item, fingerprint: Optional[str] = None) -> None:
        self.index = index
        self.key = key
        self.item = item
        self.fingerprint = fingerprint


class Parts(NamedTuple):
    """What is kept of a response; ``body`` is ``None`` when it was not read."""

    status: int
    headers: Mapping[str, str]
    body: Optional[bytes]
    elapsed: Optional[float]
    attempts: int


class Responses(Protocol):
    """What a batch does with the responses of one library."""

    def parts(self, response: Any) -> Optional[Parts]:
        """Return what is kept of a response; ``None``: it is something else."""

    def rebuild(self, item: Item, parts: Parts) -> Any:
        """Return a response that was made of its parts."""

    def discard(self, response: Any) -> None:
        """Let go of a response that nobody gets; of something else, nothing."""


class Recorder:
    """Writes down what becomes of the items of a batch, and finds what is there.

    :param save: response -> what is kept of it, in place of its body.
    :param replay: whether what is done already is among the results.
    :param retry_failed: whether what has failed is tried again.
    :param max_body_bytes: longer bodies are not kept.
    :ivar resuming: whether there is something to find.
    :ivar failure: why the journal can no longer be written to.
    """

    def __init__(
        self,
        journal: Journal,
        responses: Responses,
        save: Optional[Callable[[Any], Any]],
        replay: bool,
        retry_failed: bool,
        max_body_bytes: int,
    ) -> None:
        self._journal = journal
        self._responses = responses
        self._save = save
        self._replay = replay
        self._retry_failed = retry_failed
        self._max_body_bytes = max_body_bytes
        self._outbox: Deque[JournalEntry] = deque()
        self._writing = threading.Lock()
        self._is_open = False
        self.resuming = False
        self._lost = 0
        self.failure: Optional[JournalError] = None

    # -- what is there

    def open(self) -> None:
        """Open the journal."""
        self.resuming = self._journal.open()
        self._is_open = True

    def job(self, index: int, key: Optional[Key], item: Item) -> Job:
        """Return what is to be done; without a key the index is, and the item must be the same."""
        if key is not None:
            return Job(index, key, item)
        return Job(index, index, item, fingerprint(item))

    def find(self, job: Job) -> Optional[JournalEntry]:
        """Return the entry of a job that is not to be done again.

        :raises JournalError: the entry is of another item, or can't be read.
        """
        if not self.resuming:
            return None
        try:
            with self._writing:
                entry = self._journal.lookup(_storable(str(job.key)))
        except Exception as error:
            raise JournalError(f"the journal can't be read: {error}") from error
        if entry is None:
            return None
        if job.fingerprint is not None and entry.fingerprint != job.fingerprint:
            method, url, _ = job.item
            raise JournalError(
                f"requests_data[{job.index}] is not what the journal has for it: {method} "
                f"{shown_url(url)} differs from {entry.method} {entry.url} in method, URL or "
                "body; give the same input, another journal, or key="
            )
        return None if entry.error is not None and self._retry_failed else entry

    def replayed(self, job: Job, entry: JournalEntry) -> Optional[BatchResult[Any]]:
        """Return the result that an entry stands for; ``None``: it is to be left out."""
        if not self._replay:
            return None
        response, error = None, None
        if entry.error is not None:
            error = RecordedFailure(entry.error, status_code=entry.status)
        elif entry.status is not None:
            parts = Parts(entry.status, entry.headers, entry.body, entry.elapsed, entry.attempts)
            response = self._responses.rebuild(job.item, parts)
        else:
            response = entry.saved
        return BatchResult(job.index, job.key, job.item, response, error, entry.saved, True)

    # -- what is to be written

    def result(self, job: Job, response: Any, error: Optional[Exception]) -> BatchResult[Any]:
        """Return the result of a job, and keep it for :meth:`flush`."""
        saved = None
        try:
            kept = {} if error is not None else self._kept(response)
        except Exception as exc:  # of save=, or what it returned is not JSON
            kept, error = {}, exc
        if error is not None:
            kept = _failed(error)
        else:
            saved = kept.get("saved")
        method, url, _ = job.item
        self._outbox.append(
            JournalEntry(
                _storable(str(job.key)),
                job.fingerprint,
                _storable(method),
                _storable(shown_url(url)),
                **kept,
            )
        )
        return BatchResult(job.index, job.key, job.item, response, error, saved)

    def _kept(self, response: Any) -> Dict[str, Any]:
        parts = self._responses.parts(response)
        if parts is None:
            return {"saved": _as_json(self._save(response) if self._save else response)}
        kept: Dict[str, Any] = {
            "status": parts.status,
            "headers": {
                name: parts.headers[name] for name in _KEPT_HEADERS if name in parts.headers
            },
            "elapsed": parts.elapsed,
            "attempts": parts.attempts,
        }
        if parts.body is not None:
            kept["size"] = len(parts.body)
        if self._save is not None:
            kept["saved"] = _as_json(self._save(response))
        elif parts.body is not None and len(parts.body) <= self._max_body_bytes:
            kept["body"] = parts.body
        return kept

    def flush(self) -> None:
        """Write what there is; whoever comes meanwhile finds his entry written with the next."""
        with self._writing:
            self._flush()

    def _flush(self) -> None:
        entries: List[JournalEntry] = []
        while self._outbox:
            entries.append(self._outbox.popleft())
        if not entries or not self._is_open:
            return
        if self.failure is None:
            try:
                self._journal.write(entries)
                return
            except Exception as error:
                self.failure = JournalError()
                self.failure.__cause__ = error
                # Whoever leaves the loop early does not get to see it.
                _log.error("The journal of a batch can't be written: %s", error)
        self._lost += len(entries)
        self.failure.args = (
            f"the journal can't be written: {self.failure.__cause__}; {self._lost} results are "
            "not in it, whose calls were made",
        )

    def close(self) -> None:
        """Write what is left and close the journal; what goes wrong is in ``failure``."""
        with self._writing:
            if not self._is_open:
                return
            self._flush()
            self._is_open = False
            try:
                self._journal.close()
            except Exception as error:
                if self.failure is None:
                    self.failure = JournalError(f"the journal can't be closed: {error}")
                    self.failure.__cause__ = error


def _as_json(value: Any) -> Any:
    try:
        json.dumps(value)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"what is to be kept in the journal must be JSON, not {type(value).__name__}; let "
            "save= return dicts, lists, texts and numbers"
        ) from error
    return value


def _failed(error: Exception) -> Dict[str, Any]:
    text = redact_text(str(error))[:_MAX_ERROR_CHARACTERS]
    return {
        "error": _storable(f"{public_name(error)}: {text}"),
        "status": getattr(error, "status_code", None),
        "attempts": len(getattr(error, "attempts", ())),
    }


def _storable(text: str) -> str:
    """Return a text that can be written as UTF-8: what ``os.fsdecode`` made of bytes can't."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


__all__ = ["Job", "Parts", "Recorder", "Responses"]
