"""Forms: their fields as text, and multipart forms with their files.

Holds :func:`pairs` and :func:`multipart`. Knows httpx through ``transport`` only, which writes the
heads of the parts; the bytes of files are left to ``_sources``.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import re
import uuid
from pathlib import Path, PurePath
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple, Union

from ..settings import TOKEN
from ..transport import hx
from ._plain import one_level
from ._sources import Joined, Memory, OpenFile, Source, StoredFile, is_async_file, is_file

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

# Written in a form as they are written in JSON.
_AS_JSON = (datetime.date, datetime.time, decimal.Decimal, uuid.UUID, PurePath)

Field = Tuple[str, Union[str, bytes]]


def is_pairs(data: Any) -> bool:
    """Tell whether something is a list of names and values.

    >>> is_pairs([("a", 1)]), is_pairs([b"ab"])
    (True, False)
    """
    return isinstance(data, (list, tuple)) and all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in data
    )


def pairs(data: Any) -> List[Field]:
    """Return the fields of a form, given as a mapping or pairs, as text.

    :raises TypeError: for anything else, and for values that are not plain.

    >>> pairs({"a": [1, True], "b": None})
    [('a', '1'), ('a', 'true'), ('b', '')]
    """
    if data is None:
        return []
    if not isinstance(data, Mapping) and not is_pairs(data):
        raise TypeError(f"data must be a mapping or pairs beside files, not {_kind(data)}")
    return [
        (_field_name(key), _field(value, f"data[{key!r}]"))
        for key, values in (data.items() if isinstance(data, Mapping) else data)
        for value in (values if isinstance(values, (list, tuple)) else (values,))
    ]


def _field_name(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"data must have names that are str, not {_kind(key)}")
    return key


def _field(value: Any, name: str) -> Union[str, bytes]:
    """Return a value of a form as text, the way httpx does and for a few types more."""
    if isinstance(value, enum.Enum):
        return _field(value.value, name)
    if value is None or isinstance(value, bool):
        return {None: "", True: "true", False: "false"}[value]
    if isinstance(value, (str, bytes)):
        return value
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, _AS_JSON):
        return str(one_level(value))
    raise TypeError(f"{name} must be a plain value or a list of them, not {_kind(value)}")


def _kind(value: Any) -> str:
    if is_file(value):
        return "a file, which belongs into files"
    return f"a {type(value).__name__}"


def multipart(
    fields: List[Field], files: Any, content_type: Optional[str] = None
) -> Tuple[Source, str]:
    """Return a multipart form and its ``Content-Type``.

    :param fields: those that are no files.
    :param files: at least one.
    :param content_type: with the boundary to use; ``None``: one is made.
    :raises TypeError: for files that are none.
    :raises ValueError: for a file that is closed or can't be read, or a header that is none.

    >>> source, media = multipart([("a", "1")], {"f": b"abc"}, "multipart/form-data; boundary=XYZ")
    >>> source.length, source.replayable, media
    (178, True, 'multipart/form-data; boundary=XYZ')
    """
    described = list(_described(files))
    # It writes the heads of the parts; the files themselves it does not get to see.
    built = hx.Request(
        "POST",
        "http://localhost",
        headers={} if content_type is None else {"Content-Type": content_type},
        data=_grouped(fields),
        files=[(name, shown) for name, shown, _ in described],
    )
    source = _joined(built.stream, iter([source for _, _, source in described]))
    return source, built.headers["content-type"]


def _grouped(fields: List[Field]) -> Dict[str, List[Any]]:
    grouped: Dict[str, List[Any]] = {}
    for name, value in fields:
        grouped.setdefault(name, []).append(value)
    return grouped


def _joined(stream: Any, sources: Iterator[Source]) -> Source:
    """Return the parts that httpx describes, read by our sources."""
    border = b"--%s" % stream.boundary
    parts: List[Source] = []
    head = b""
    for field in stream.fields:
        head += border + b"\r\n" + field.render_headers()
        if hasattr(field, "file"):
            parts += [Memory(head), next(sources)]
            head = b"\r\n"
        else:
            head += field.render_data() + b"\r\n"
    return Joined([*parts, Memory(head + border + b"--\r\n")])


class _Named:
    """What httpx gets in the place of a file: the name that it would look for."""

    def __init__(self, file: Any) -> None:
        self.name = str(getattr(file, "name", "upload"))


def _described(files: Any) -> Iterator[Tuple[str, Any, Source]]:
    """Yield each file: its field, what httpx is told about it, and where its bytes come from."""
    if not isinstance(files, Mapping) and not is_pairs(files):
        raise TypeError(f"files must be a mapping or pairs, not {_kind(files)}")
    for field, given in files.items() if isinstance(files, Mapping) else files:
        where = f"files[{field!r}]"
        if not isinstance(given, tuple):
            yield field, _Named(given), _file_source(given, where)
        elif 2 <= len(given) <= 4:
            filename, file, *rest = given
            rest[1:] = [dict(headers) for headers in rest[1:]]  # httpx adds to them
            _check_head(where, *rest)
            yield field, (filename, _Named(file), *rest), _file_source(file, where)
        else:
            wanted = "a file or (filename, file, content_type, headers)"
            raise TypeError(f"{where} must be {wanted}, not a tuple of {len(given)}")


def _check_head(where: str, content_type: Any = None, headers: Any = None) -> None:
    """Refuse what would begin a line of its own in the head of a part; httpx writes anything."""
    given = {"Content-Type": content_type or "", **(headers or {})}
    for name, value in given.items():
        if not isinstance(name, str) or not TOKEN.match(name):
            raise ValueError(f"{where}: {name!r} is no name of a header")
        if not isinstance(value, str):
            raise TypeError(f"{where}: {name} must be a str, not a {type(value).__name__}")
        if _CONTROL.search(value):
            raise ValueError(f"{where}: {name} holds a line break or another control character")


def _file_source(file: Any, where: str) -> Source:
    if isinstance(file, (bytes, str)):
        return Memory(file if isinstance(file, bytes) else file.encode("utf-8"))
    if isinstance(file, Path):
        return StoredFile(file)
    if not is_file(file):
        raise TypeError(
            f"{where} must be bytes, str, a pathlib.Path or a binary file, not a"
            f" {type(file).__name__}"
        )
    if is_async_file(file):
        raise TypeError(f"{where} is an asynchronous file; give its path, or a plain file")
    return OpenFile(file, where, from_start=True)


__all__ = ["is_pairs", "multipart", "pairs"]
