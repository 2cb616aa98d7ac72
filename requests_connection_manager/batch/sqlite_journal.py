"""A journal that is an SQLite database.

Holds :class:`SqliteJournal`. Knows nothing of calls and responses.
"""

from __future__ import annotations

import json
import os
from typing import Any, Optional, Sequence, Tuple, Union

from ..exceptions import JournalError
from .journal import JournalEntry

_COLUMNS = (
    *("key", "fingerprint", "method", "url", "status", "headers", "body", "size", "elapsed"),
    *("attempts", "saved", "error"),
)
_SELECT_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"
_TABLE = """
    CREATE TABLE IF NOT EXISTS batch_results (
        key TEXT PRIMARY KEY, fingerprint TEXT, method TEXT, url TEXT, status INTEGER,
        headers TEXT, body BLOB, size INTEGER, elapsed REAL, attempts INTEGER, saved TEXT,
        error TEXT
    )
"""
_INSERT = "INSERT OR REPLACE INTO batch_results VALUES ({})".format(", ".join("?" * len(_COLUMNS)))
_SELECT_ANY = "SELECT {} FROM batch_results LIMIT 1".format(", ".join(_COLUMNS))
_SELECT = "SELECT {} FROM batch_results WHERE key = ?".format(", ".join(_COLUMNS))


class SqliteJournal:
    """An SQLite database with one row for each key, in the table ``batch_results``.

    Takes no memory per entry. It is in use by one batch, and can't be read by others meanwhile.
    The file is readable by its owner only; beside it there is one that ends in ``-wal`` meanwhile.

    :param path: of the file; made if it is not there, its folder is not.
    :param sync: ``False``: a result that was given out survives the end of the process.
        ``True``: that of the machine, too; results that come together are written together.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     journal = SqliteJournal(pathlib.Path(folder) / "done.sqlite")
    ...     journal.open()
    ...     journal.write([JournalEntry("0", None, "GET", "https://api.test/", 200)])
    ...     journal.close()
    ...     journal.open(), journal.lookup("0").status, journal.lookup("1")
    ...     journal.close()
    False
    (True, 200, None)
    """

    def __init__(self, path: Union[str, os.PathLike[str]], *, sync: bool = False) -> None:
        self.path = os.fspath(path)
        self._sync = sync
        self._database: Any = None

    def __repr__(self) -> str:
        return f"SqliteJournal({self.path!r})"

    def open(self) -> bool:
        """Open and lock the database; tell whether there are entries.

        :raises JournalError: another batch uses it; it can't be opened; or it is no database, or
            one of something else.
        """
        import sqlite3

        if self._database is not None:
            raise JournalError(f"the journal {self.path!r} is in use by another batch")
        database = None
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            database = sqlite3.connect(
                self.path, timeout=0, isolation_level=None, check_same_thread=False
            )
            entries = self._prepare(database)
        except (sqlite3.Error, OSError) as error:
            if database is not None:
                database.close()
            raise JournalError(self._explain(error)) from error
        self._database = database
        return entries

    def _prepare(self, database: Any) -> bool:
        import sqlite3

        # Before the mode of the journal: memory is not shared with other processes then.
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        # Nothing is written to the database of another program, not even the mode.
        tables = [name for (name,) in database.execute(_SELECT_TABLES)]
        if tables and "batch_results" not in tables:
            raise sqlite3.DatabaseError(f"it has no batch_results, but {tables[0]!r}")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(f"PRAGMA synchronous = {'FULL' if self._sync else 'NORMAL'}")
        database.execute("BEGIN EXCLUSIVE")
        database.execute(_TABLE)
        row = database.execute(_SELECT_ANY).fetchone()
        database.execute("COMMIT")
        return row is not None

    def _explain(self, error: Exception) -> str:
        if "locked" in str(error):
            return f"the journal {self.path!r} is in use by another batch"
        return f"the journal {self.path!r} can't be opened: {error}"

    def lookup(self, key: str) -> Optional[JournalEntry]:
        """Return the entry of a key, if any."""
        row = self._database.execute(_SELECT, (key,)).fetchone()
        return None if row is None else _entry(row)

    def write(self, entries: Sequence[JournalEntry]) -> None:
        """Add or replace entries, all of them or, if it fails, none.

        :raises sqlite3.Error: the disk is full, for instance.
        """
        self._database.execute("BEGIN")
        try:
            self._database.executemany(_INSERT, [_row(entry) for entry in entries])
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Let go of the database."""
        if self._database is not None:
            self._database.close()
            self._database = None


def _row(entry: JournalEntry) -> Tuple[Any, ...]:
    fields = dict(entry.__dict__)
    fields["headers"] = json.dumps(dict(entry.headers))
    fields["saved"] = None if entry.saved is None else json.dumps(entry.saved)
    return tuple(fields[name] for name in _COLUMNS)


def _entry(row: Sequence[Any]) -> JournalEntry:
    fields = dict(zip(_COLUMNS, row))
    fields["headers"] = json.loads(fields["headers"])
    fields["saved"] = None if fields["saved"] is None else json.loads(fields["saved"])
    return JournalEntry(**fields)


__all__ = ["SqliteJournal"]
