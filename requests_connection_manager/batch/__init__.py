"""Many calls: a list of them at once, or any number of them one after the other, resumable.

This module holds names only; each is loaded from its own module when it is first used. The methods
of the managers (``iter_batch``, ``aiter_batch``) are in ``faces``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy_names import lazy_names

if TYPE_CHECKING:
    from .async_batch import AsyncBatch
    from .crew import Crew, Dismissed, current_crew
    from .gather import arun_batch, run_batch
    from .items import check_batch
    from .journal import Journal, JournalEntry
    from .json_lines_journal import JsonLinesJournal
    from .result import BatchResult
    from .sqlite_journal import SqliteJournal

_NAMES_OF = {
    "async_batch": ("AsyncBatch",),
    "crew": ("Crew", "Dismissed", "current_crew"),
    "gather": ("arun_batch", "run_batch"),
    "items": ("check_batch",),
    "journal": ("Journal", "JournalEntry"),
    "json_lines_journal": ("JsonLinesJournal",),
    "result": ("BatchResult",),
    "sqlite_journal": ("SqliteJournal",),
}
__getattr__, __dir__ = lazy_names(__name__, _NAMES_OF)

__all__ = [
    "AsyncBatch",
    "BatchResult",
    "Crew",
    "Dismissed",
    "Journal",
    "JournalEntry",
    "JsonLinesJournal",
    "SqliteJournal",
    "arun_batch",
    "check_batch",
    "current_crew",
    "run_batch",
]
