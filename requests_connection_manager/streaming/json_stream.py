"""The values of a body of JSON lines, as they come.

Holds :class:`JsonLines` and :class:`AsyncJsonLines`. Knows the parser, the models and the seam, no
HTTP library.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple, TypeVar

from ..exceptions import ValidationError
from ..json_lines import JsonLinesParser
from ..validation import check_model, validate
from .exchange import Exchanger
from .reader import AsyncStream, Stream, StreamReader, with_headers

T = TypeVar("T")

_ACCEPT = "application/x-ndjson, application/jsonl, application/json;q=0.9, */*;q=0.5"


class _Numbered(JsonLinesParser):
    """Gives each value with the number of its line."""

    def _line(self, line: bytes, found: List[Any]) -> None:
        before = len(found)
        super()._line(line, found)
        found[before:] = [(self._number, value) for value in found[before:]]

    @property
    def complete(self) -> int:
        """How many lines have come to their end."""
        return self._number

    def last(self) -> List[Tuple[int, Any]]:
        """End the stream; return the value of a last line that has no end."""
        number = self._number + 1
        return [(number, value) for value in self.close()]


class _LineReader(StreamReader[T]):
    """What both worlds share."""

    def __init__(
        self,
        exchanger: Exchanger,
        method: str,
        url: Any,
        options: Dict[str, Any],
        *,
        model: Any,
        idle_timeout: Optional[float],
        max_line_bytes: int,
    ) -> None:
        if model is not None:
            check_model(model)
        super().__init__(
            exchanger, method, url, with_headers(options, {"Accept": _ACCEPT}, {}), idle_timeout
        )
        self._model = model
        self._parser = _Numbered(max_line_bytes)

    async def _fill(self) -> None:
        found = self._parser.feed(b"")  # raises what came after the values before
        chunk = await self._piece()
        if chunk is not None:
            found = self._parser.feed(chunk)
        else:
            self._over = True
            found = self._parser.last()
        self._found.extend(found)

    async def _piece(self) -> Optional[bytes]:
        exchange = self._exchange
        assert exchange is not None
        try:
            return await self._chunk()
        except Exception as error:
            if not exchange.broken(error):
                raise
            text = f"{self._shown()}: the body broke off after line {self._parser.complete}"
            raise exchange.failure(text, error) from error

    def _value(self, found: Tuple[int, Any]) -> T:
        number, value = found
        if self._model is not None:
            try:
                value = validate(value, self._model)
            except ValidationError as error:
                raise _numbered(number, error) from error.__cause__
        result: T = value
        return result


class JsonLines(_LineReader[T], Stream[T]):
    """The values of JSON lines, one at a time: an iterator and a context manager.

    What ``client.json_lines(...)`` of a synchronous client returns. For one thread at a time.
    """


class AsyncJsonLines(_LineReader[T], AsyncStream[T]):
    """The values of JSON lines, one at a time: an asynchronous iterator and context manager.

    What ``client.json_lines(...)`` of an asynchronous client returns. For one task at a time.
    """


def _numbered(number: int, error: ValidationError) -> ValidationError:
    return ValidationError(f"line {number}: {error}", body=error.body, path=error.path)


__all__ = ["AsyncJsonLines", "JsonLines"]
