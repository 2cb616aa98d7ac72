"""What a batch keeps of each result, and what a store for that must be able to do.

Holds :class:`JournalEntry`, its form in JSON, the protocol :class:`Journal`, and the fingerprint by
which a changed item is noticed. Opens no file, and knows no HTTP library.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Protocol, Sequence

from ..redaction import redact_sensitive_data, redact_url
from .items import Item

_BODY_NAMES = ("params", "json", "data", "content", "files")


@dataclass(frozen=True)
class JournalEntry:
    r"""What a journal holds of one result.

    :ivar key: of the item; the index as text unless ``key=`` said otherwise.
    :ivar fingerprint: of method, URL and body; ``None``: ``key=`` says what the item is.
    :ivar method: the HTTP method.
    :ivar url: without secrets.
    :ivar status: of the response; ``None``: there was none.
    :ivar headers: the few that are kept: those that say how to read the body, or which it is.
    :ivar body: of the response; ``None``: not kept.
    :ivar size: of the body, in bytes; ``None``: it was not read.
    :ivar elapsed: seconds that the last attempt took.
    :ivar attempts: how many there were.
    :ivar saved: what ``save=`` made of the response.
    :ivar error: class and text of the error, without secrets; ``None``: it is done.

    >>> entry = JournalEntry("0", None, "GET", "https://api.test/", 200, body=b"caf\xc3\xa9")
    >>> entry.to_json()
    '{"key":"0","method":"GET","url":"https://api.test/","status":200,"body":"café"}'
    >>> JournalEntry.from_json(entry.to_json()) == entry
    True
    """

    key: str
    fingerprint: Optional[str]
    method: str
    url: str
    status: Optional[int] = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Optional[bytes] = None
    size: Optional[int] = None
    elapsed: Optional[float] = None
    attempts: int = 0
    saved: Any = None
    error: Optional[str] = None

    def to_json(self) -> str:
        """Return the entry as one line of JSON; what there is not is left out."""
        fields: Dict[str, Any] = {
            name: value
            for name, value in self.__dict__.items()
            if name != "body" and value is not None and value != {} and (name, value) != _NO_TRY
        }
        if self.body is not None:
            fields.update(_written(self.body))
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str) -> JournalEntry:
        """Return the entry of a line.

        :raises ValueError: for what is no entry.
        """
        fields = json.loads(line)
        if not isinstance(fields, dict) or not isinstance(fields.get("key"), str):
            raise ValueError("not an entry of a journal")
        text, coded = fields.pop("body", None), fields.pop("body_base64", None)
        if coded is not None:
            fields["body"] = base64.b64decode(coded)
        elif text is not None:
            fields["body"] = text.encode()
        known = {name: fields[name] for name in fields if name in cls.__dataclass_fields__}
        return cls(**{**_ABSENT, **known})


_NO_TRY = ("attempts", 0)
_ABSENT = {"fingerprint": None, "method": "", "url": ""}


def _written(body: bytes) -> Dict[str, str]:
    try:
        return {"body": body.decode("utf-8")}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(body).decode("ascii")}


class Journal(Protocol):
    """Where a batch writes what it has done, so that it can go on from there.

    All methods block. They are never called by two threads at a time, but by different ones, and
    not by one that was forked off. :meth:`lookup` may be called in an event loop.
    """

    def open(self) -> bool:
        """Make ready, for this process alone; tell whether there are entries.

        :raises JournalError: it can't be used, and why; for instance while another batch does.
        """

    def lookup(self, key: str) -> Optional[JournalEntry]:
        """Return the latest entry of a key that was there when it was opened, if any."""

    def write(self, entries: Sequence[JournalEntry]) -> None:
        """Add entries; when it returns they survive the end of the process."""

    def close(self) -> None:
        """Let go of it; :meth:`open` may be called again."""


def fingerprint(item: Item) -> str:
    """Return what tells an item from another: of its method, URL and body, without secrets.

    Headers and credentials are not part of it, since they change from one day to the next. Of a
    body that can't be compared (a file, a generator) the type is.

    >>> one = fingerprint(("GET", "https://api.test/?key=a", {"headers": {"X": "1"}}))
    >>> one == fingerprint(("get", "https://api.test/?key=b", {}))
    True
    """
    method, url, kwargs = item
    body = {name: kwargs[name] for name in _BODY_NAMES if kwargs.get(name) is not None}
    parts = [method.upper(), shown_url(url), redact_sensitive_data(body) if body else body]
    try:
        text = json.dumps(parts, sort_keys=True, default=_stand_in)
    except (TypeError, ValueError):  # keys that are no texts, a circle
        text = repr(parts[:2])
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _stand_in(value: Any) -> str:
    if isinstance(value, (bytes, bytearray)):
        return "bytes:" + hashlib.blake2b(value, digest_size=8).hexdigest()
    return type(value).__name__


def shown_url(url: Any) -> str:
    """Return a URL of any form as text without secrets."""
    return redact_url(url.decode("latin-1") if isinstance(url, bytes) else str(url))


__all__ = ["Journal", "JournalEntry", "fingerprint", "shown_url"]
