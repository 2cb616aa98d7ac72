"""What became of one call of a batch.

Knows no HTTP library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Optional, TypeVar, Union, cast

from ..redaction import redact_url
from ..types import RequestData

R = TypeVar("R")
Key = Union[int, str]


@dataclass(frozen=True)
class BatchResult(Generic[R]):
    """What became of one item of a batch.

    :ivar index: which item of the input it was, from 0 on.
    :ivar key: by which a journal knows it: the index, or what ``key=`` said.
    :ivar request: ``(method, url, kwargs)``; can be given to another batch. ``None``: the item
        was not of that form.
    :ivar response: what ``request()`` returned; ``None`` if it raised, or if it is a recorded
        result of which the journal holds no response.
    :ivar error: what it raised; ``None``: it did not.
    :ivar saved: what ``save=`` made of the response.
    :ivar recorded: it comes from the journal: an earlier run made the call.

    >>> BatchResult(3, 3, ("GET", "https://api.test/?token=abc", {}), response=200)
    <BatchResult 3: GET https://api.test/?token=[REDACTED]: 200>
    """

    index: int
    key: Key
    request: Optional[RequestData]
    response: Optional[R] = None
    error: Optional[Exception] = None
    saved: Any = None
    recorded: bool = False

    def result(self) -> R:
        """Return the response, or raise the error.

        >>> BatchResult(0, 0, ("GET", "https://api.test/", {}), error=KeyError("no")).result()
        Traceback (most recent call last):
        ...
        KeyError: 'no'
        """
        if self.error is not None:
            raise self.error
        return cast(R, self.response)

    def __repr__(self) -> str:
        asked = "?" if self.request is None else f"{self.request[0]} {_shown(self.request[1])}"
        name = "BatchResult, recorded," if self.recorded else "BatchResult"
        if self.error is not None:
            return f"<{name} {self.index}: {asked}: {type(self.error).__name__}>"
        return f"<{name} {self.index}: {asked}: {self.response!r}>"


def _shown(url: Any) -> str:
    return redact_url(url if isinstance(url, (str, bytes)) else str(url))  # type: ignore[arg-type]


__all__ = ["BatchResult", "Key"]
