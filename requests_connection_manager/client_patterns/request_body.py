"""Whether the body of a request can be sent again.

Holds :class:`RequestBody`, which looks at what ``Session.request`` is given, before any of it is
used up. Knows no HTTP library.
"""

from __future__ import annotations

from typing import Any, Iterator, List, Mapping, Tuple

from ..rewinding import position_of

_PLAIN = (bytes, str, bytearray, memoryview, int, float)


class RequestBody:
    """The streams in the arguments of a request, and where they stood.

    :param arguments: those of ``Session.request``, or of httpx' clients.
    :ivar replayable: all of it can be sent again after :meth:`rewind`.

    >>> import io
    >>> body = RequestBody({"data": io.BytesIO(b"hello"), "json": None})
    >>> body.replayable, RequestBody({"data": iter([b"hello"])}).replayable
    (True, False)
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._positions: List[Tuple[Any, int]] = []
        self.replayable = True
        for stream in _streams(arguments):
            position = position_of(stream)
            if position is None:
                self.replayable = False
            else:
                self._positions.append((stream, position))

    def rewind(self) -> None:
        """Set every stream to where it was."""
        for stream, position in self._positions:
            stream.seek(position)


def _streams(arguments: Mapping[str, Any]) -> Iterator[Any]:
    """Yield what is used up by sending it."""
    for name in ("data", "content"):
        given = arguments.get(name)
        # Any other iterable may be the wrapper of a stream, such as a progress bar.
        if not (given is None or isinstance(given, (*_PLAIN, Mapping, list, tuple))):
            yield given
        else:
            yield from filter(_is_stream, _values(given))
    for given in _values(arguments.get("files")):
        # (name, file), (name, file, type) or (name, file, type, headers)
        file = given[1] if isinstance(given, (tuple, list)) and len(given) > 1 else given
        if _is_stream(file):
            yield file


def _values(fields: Any) -> Iterator[Any]:
    if isinstance(fields, Mapping):
        yield from fields.values()
    elif isinstance(fields, (list, tuple)):
        yield from (pair[1] for pair in fields if isinstance(pair, (tuple, list)) and len(pair) > 1)


def _is_stream(value: Any) -> bool:
    return hasattr(value, "read") or hasattr(value, "__next__")


__all__ = ["RequestBody"]
