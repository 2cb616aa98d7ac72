"""What a caller gives as ``content``, ``data``, ``files`` or ``json``, as one body for httpx.

Holds :func:`encode_body`, the same for both clients. Knows httpx through ``transport`` only; sends
nothing, and reads nothing that is streamed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, AsyncIterable, Iterable, Mapping, NamedTuple, Optional, Union
from urllib.parse import urlencode

from ..transport import hx
from ._forms import is_pairs, multipart, pairs
from ._sources import (
    AsyncFile,
    AsyncIterated,
    Iterated,
    Memory,
    OpenFile,
    Source,
    StoredFile,
    is_async_file,
    is_file,
)
from .serialization import Serializer
from .uploads import Upload, UploadCallback

_FORM = "application/x-www-form-urlencoded"
_BOUNDARY = re.compile(r";\s*boundary=\"?[^\s;\"]", re.IGNORECASE)
_WANTED = "bytes, str, a pathlib.Path, a binary file or an iterable of bytes"


class Body(NamedTuple):
    """A body as httpx takes it.

    :ivar content: what to give as ``content=`` to ``build_request``.
    :ivar headers: what the body says of itself, to be added to the call's own headers. They go
        before the client's.
    """

    content: Union[bytes, Upload, None] = None
    headers: Mapping[str, str] = {}

    def attach(self, request: hx.Request) -> None:
        """Put a streamed body on a request that httpx built with it.

        httpx wraps what it is given; as it is, it works on both clients and can be sent again.
        """
        if isinstance(self.content, Upload):
            request.stream = self.content


def encode_body(
    content: Any = None,
    data: Any = None,
    files: Any = None,
    json: Any = None,
    *,
    serializer: Serializer,
    asynchronous: bool,
    headers: Any = None,
    json_type: Optional[str] = None,
    progress: Optional[UploadCallback] = None,
) -> Body:
    """Return the one body that the arguments of a call make.

    ``str`` is sent as UTF-8. A ``pathlib.Path`` and an open file are streamed, a file from where it
    stands; so are iterables of bytes. ``Content-Length`` is announced where it is known, and
    then held to. Only :class:`AsyncClient` takes asynchronous iterables and files; it reads the
    plain ones on worker threads.

    :param content: bytes, ``str``, a path, a file or an iterable of bytes.
    :param data: a form, as a mapping or pairs; a list of values repeats the name, ``None`` is an
        empty value. Anything else is what ``content`` is.
    :param files: those of a multipart form, as httpx takes them: ``{name: file}`` or
        ``{name: (filename, file, content_type, headers)}``, or pairs. A file is bytes, ``str``, a
        path or a binary file. A file that can seek is sent from its start.
    :param json: anything for the serializer; ``None`` means none.
    :param headers: of the call, to be held against the body.
    :param json_type: the ``Content-Type`` of ``json``, in place of the serializer's.
    :param progress: is told how far the upload is.
    :raises TypeError: for something else; for what only the asynchronous client can send; for
        files in text mode.
    :raises ValueError: for two bodies at once, a header of the call that contradicts its body,
        or a file that is closed or can't be read.
    :raises ValidationError: if ``json`` can't be serialized.
    :raises OSError: if there is no file of that path.

    >>> from requests_connection_manager.rest.serialization import JsonSerializer
    >>> options = {"serializer": JsonSerializer(), "asynchronous": False}
    >>> encode_body(json={"id": 7}, **options).content
    b'{"id":7}'
    >>> encode_body(data=[("tag", "a b"), ("tag", "c")], **options)
    Body(content=b'tag=a+b&tag=c', headers={'Content-Type': 'application/x-www-form-urlencoded'})
    """
    data, files = _none_if_empty(data), _none_if_empty(files)
    _refuse_two(content=content, data=data, files=files, json=json)
    own = hx.Headers(headers)
    if json is not None:
        media = json_type or serializer.content_type
        _check_type(own, media, "json")
        return _finished(_dumped(json, serializer), own, media, progress)
    if files is not None:
        return _files(data, files, own, progress)
    if isinstance(data, Mapping) or is_pairs(data):
        _check_type(own, _FORM, "data")
        return _finished(urlencode(pairs(data)).encode("ascii"), own, _FORM, progress)
    name = "content" if data is None else "data"
    given = content if data is None else data
    if given is None:
        return Body()
    return _finished(_source(given, name, asynchronous), own, None, progress)


def _none_if_empty(fields: Any) -> Any:
    """Return None for an empty form, which is no body to httpx."""
    return None if isinstance(fields, (Mapping, list, tuple)) and not fields else fields


def _refuse_two(**given: Any) -> None:
    names = [name for name, value in given.items() if value is not None]
    if len(names) < 2 or names == ["data", "files"]:
        return
    raise ValueError(f"give {' or '.join(names)}, not {len(names)} of them: a request has one body")


# -- in memory -----------------------------------------------------------------------------------


def _dumped(value: Any, serializer: Serializer) -> bytes:
    encoded = serializer.dumps(value)
    if not isinstance(encoded, bytes):
        name = type(serializer).__name__
        raise TypeError(f"{name}.dumps must return bytes, not a {type(encoded).__name__}")
    return encoded


# -- streamed ------------------------------------------------------------------------------------


def _source(given: Any, name: str, asynchronous: bool) -> Union[bytes, Source]:
    if isinstance(given, (bytes, bytearray, memoryview)):
        return bytes(given)
    if isinstance(given, str):
        return given.encode("utf-8")
    if isinstance(given, Path):
        return StoredFile(given)
    if isinstance(given, Mapping):
        raise TypeError(f"{name} must be {_WANTED}, not a mapping: that is json= or data=")
    if is_file(given):
        if not is_async_file(given):
            return OpenFile(given, name)
        _refuse_async(given, name, asynchronous)
        return AsyncFile(given, name)
    if isinstance(given, Iterable):
        return Iterated(given)
    if isinstance(given, AsyncIterable):
        _refuse_async(given, name, asynchronous)
        return AsyncIterated(given)
    raise TypeError(f"{name} must be {_WANTED}, not a {type(given).__name__}")


def _refuse_async(given: Any, name: str, asynchronous: bool) -> None:
    if not asynchronous:
        raise TypeError(
            f"{name} is asynchronous ({type(given).__name__}), which only AsyncClient can send;"
            f" give {_WANTED}"
        )


def _files(data: Any, files: Any, own: hx.Headers, progress: Optional[UploadCallback]) -> Body:
    _check_type(own, "multipart/form-data", "files")
    given = own.get("content-type")
    if given is not None and not _BOUNDARY.search(given):
        raise ValueError(
            "the Content-Type of files needs a boundary: leave the header out, and it gets one"
        )
    source, media = multipart(pairs(data), files, given)
    return _finished(source, own, media, progress)


# -- what the body says of itself ----------------------------------------------------------------


def _finished(
    source: Union[bytes, Source],
    own: hx.Headers,
    media: Optional[str],
    progress: Optional[UploadCallback],
) -> Body:
    headers = {} if media is None or "content-type" in own else {"Content-Type": media}
    length = len(source) if isinstance(source, bytes) else source.length
    announced = _announced(own, length)
    if isinstance(source, bytes):
        if progress is None:
            return Body(source, headers)
        source = Memory(source)
    if announced is not None and not {"content-length", "transfer-encoding"} & set(own):
        headers["Content-Length"] = str(announced)
    return Body(Upload(source, announced, progress), headers)


def _announced(own: hx.Headers, length: Optional[int]) -> Optional[int]:
    """Return how long the body is to be, by the caller's header too."""
    given = own.get("content-length")
    if given is None:
        return length
    if "transfer-encoding" in own:  # RFC 9112 section 6.2
        raise ValueError("Content-Length and Transfer-Encoding exclude each other: give one")
    if not (given.isascii() and given.isdigit()):
        raise ValueError(f"Content-Length must be a number of bytes, not {given!r}")
    if length is not None and int(given) != length:
        raise ValueError(
            f"Content-Length is {given}, but the body has {length} bytes; leave it out"
        )
    return int(given)


def _check_type(own: hx.Headers, media: str, name: str) -> None:
    given = own.get("content-type")
    if given is not None and _format(given) != _format(media):
        raise ValueError(
            f"the Content-Type {given!r} contradicts {name}=, which is sent as {media}; leave the"
            " header out, or give the bytes as content="
        )


def _format(media: str) -> str:
    """Return the format of a media type: ``json`` of ``application/vnd.acme+json``."""
    subtype = media.split(";")[0].strip().lower().rpartition("/")[2].rpartition("+")[2]
    for prefix in ("x-", "vnd."):
        if subtype.startswith(prefix) and not subtype.startswith("x-www-"):
            subtype = subtype[len(prefix) :]
    return subtype


__all__ = ["Body", "encode_body"]
