"""What a batch that goes item by item was asked for, checked.

Holds :class:`Plan`, made of the parameters of ``iter_batch`` and ``aiter_batch``, and
:func:`journal_of`. Starts nothing.
"""

from __future__ import annotations

import contextvars
import os
from typing import Any, Callable, Optional, Tuple

from ..plugins import is_coroutine_hook
from ..streaming.progress import check_progress
from .intake import Intake, Outlet
from .items import check_count, check_iterable
from .journal import Journal
from .progress import BatchProgress
from .recorder import Recorder, Responses


class Plan:
    """The checked parameters of a batch, and the parts that they ask for.

    :param perform: makes the call of an item.
    :param responses: what to do with its response.
    :param protocols: of which the input must have one.
    :param given: the parameters of ``iter_batch``.
    :ivar context: in which the work is to be done: the caller's.
    :ivar window: how many items may be taken of which no result was given out yet.
    """

    def __init__(
        self,
        perform: Callable[..., Any],
        responses: Responses,
        protocols: Tuple[str, ...],
        requests_data: Any,
        max_workers: int,
        buffer: Optional[int],
        return_exceptions: bool,
        ordered: bool,
        progress: Any,
        total: Optional[int],
        journal: Any,
        **more: Any,
    ) -> None:
        check_iterable(requests_data, protocols)
        self.perform = perform
        self.responses = responses
        self.items = requests_data
        self.max_workers = check_count("max_workers", max_workers, 1)
        self.buffer = max_workers if buffer is None else check_count("buffer", buffer, 0)
        self.window = self.max_workers + self.buffer
        self.return_exceptions = return_exceptions
        self.progress = BatchProgress(
            check_progress(progress), _total(requests_data, total, progress)
        )
        self.recorder = _recorder(journal, responses, **more)
        self.intake = Intake(_check_function("key", more["key"]), self.recorder)
        self.outlet = Outlet(ordered)
        self.context = contextvars.copy_context()


def _total(items: Any, total: Optional[int], progress: Any) -> Optional[int]:
    if total is not None:
        return check_count("total", total, 0)
    if progress is None:
        return None  # the length of some (a query of a database) is a long way
    try:
        return len(items)
    except TypeError:
        return None


def _recorder(
    journal: Any,
    responses: Responses,
    key: Any,
    save: Any,
    replay: bool,
    retry_failed: bool,
    max_body_bytes: int,
) -> Optional[Recorder]:
    _check_function("save", save)
    check_count("max_body_bytes", max_body_bytes, 0)
    store = journal_of(journal)
    if store is not None:
        return Recorder(store, responses, save, replay, retry_failed, max_body_bytes)
    if save is not None:
        raise ValueError("save needs a journal to save to; give journal=")
    return None


def journal_of(given: Any) -> Optional[Journal]:
    """Return the journal that is meant: a store as it is, or one for the suffix of a path.

    :raises TypeError: for what is neither.

    >>> type(journal_of("done.sqlite")).__name__, type(journal_of("done.jsonl")).__name__
    ('SqliteJournal', 'JsonLinesJournal')
    """
    if given is None or all(
        callable(getattr(given, name, None)) for name in ("open", "lookup", "write", "close")
    ):
        store: Optional[Journal] = given
        return store
    if not isinstance(given, (str, os.PathLike)):
        raise TypeError(
            f"journal must be a path or an object with the methods of Journal, not {given!r}"
        )
    if os.path.splitext(given)[1] in (".sqlite", ".sqlite3", ".db"):
        from .sqlite_journal import SqliteJournal

        return SqliteJournal(given)
    from .json_lines_journal import JsonLinesJournal

    return JsonLinesJournal(given)


def _check_function(name: str, function: Any) -> Any:
    if function is None:
        return None
    if not callable(function) or is_coroutine_hook(function):
        raise TypeError(f"{name} must be a plain function, not {function!r}")
    return function


__all__ = ["Plan", "journal_of"]
