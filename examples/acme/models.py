"""What the Acme API returns, as values with types.

Holds one frozen dataclass per resource, and :func:`read`, which makes them from JSON. An error says
where an answer is wrong, never what it holds: that may be somebody's data, or a token.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Callable, Dict, List, Tuple, Type, TypeVar, Union, get_type_hints

import requests

from requests_connection_manager import ValidationError

M = TypeVar("M")
Path = Tuple[Union[str, int], ...]


@dataclass(frozen=True)
class User:
    """A customer of Acme."""

    id: int
    name: str
    email: str


@dataclass(frozen=True)
class Order:
    """What a user has bought."""

    id: str
    user_id: int
    total: Decimal


@dataclass(frozen=True)
class Upload:
    """A file that Acme keeps."""

    id: str
    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Status:
    """How the service feels."""

    healthy: bool
    version: str


@dataclass(frozen=True)
class Numbers:
    """Where a page is among the others."""

    page: int
    pages: int


@dataclass(frozen=True)
class Token:
    """An access token (RFC 6749, 5.1)."""

    access_token: str = field(repr=False)
    expires_in: int


def json_of(response: requests.Response) -> Any:
    """Return the body of a response, read as JSON.

    :raises ValidationError: when it is something else.
    """
    try:
        return response.json()
    except requests.JSONDecodeError:
        kind = response.headers.get("Content-Type", "without a content type")
        # Not "from" that error: it holds the body.
        raise ValidationError(f"the answer is not JSON, but {kind}") from None


def read(model: Type[M], data: Any, path: Path = ()) -> M:
    """Return a JSON object as ``model``; fields that it does not know are left out.

    :param path: where in the answer the object is, for the message.
    :raises ValidationError: for a field that is missing or of another type.

    >>> read(Status, {"healthy": True, "version": "1.4", "since": "yesterday"})
    Status(healthy=True, version='1.4')
    """
    make: Callable[..., M] = model
    values = {}
    for name, kind in get_type_hints(model).items():
        values[name] = _converted(kind, pick(data, name, path), (*path, name))
    return make(**values)


def read_all(model: Type[M], data: Any, key: str) -> List[M]:
    """Return the list below ``key`` of a JSON object.

    :raises ValidationError: as :func:`read`, or when there is no list.
    """
    items = pick(data, key)
    if not isinstance(items, list):
        raise _invalid((key,), f"must be a list, not {type(items).__name__}")
    return [read(model, item, (key, index)) for index, item in enumerate(items)]


def pick(data: Any, key: str, path: Path = ()) -> Any:
    """Return the value below ``key`` of a JSON object.

    :raises ValidationError: when it is not there, or ``data`` is no object.
    """
    if not isinstance(data, dict):
        raise _invalid(path, f"must be an object, not {type(data).__name__}")
    if key not in data:
        raise _invalid((*path, key), f"is missing; there are {', '.join(data) or 'no fields'}")
    return data[key]


def _converted(kind: Any, value: Any, path: Path) -> Any:
    wanted, convert = _KINDS[kind]
    # Not isinstance: True is an int as well.
    if type(value) is not wanted:
        raise _invalid(path, f"must be {wanted.__name__}, not {type(value).__name__}")
    try:
        return convert(value)
    except (ValueError, InvalidOperation):
        raise _invalid(path, f"can't be read as {kind.__name__}") from None


# The type of a field: how it arrives in JSON, and what makes the one from the other.
_KINDS: Dict[Any, Tuple[type, Callable[[Any], Any]]] = {
    bool: (bool, bool),
    int: (int, int),
    str: (str, str),
    Decimal: (str, Decimal),
}


def _invalid(path: Path, problem: str) -> ValidationError:
    where = ".".join(map(str, path)) or "the answer"
    return ValidationError(f"{where} {problem}", path=path)
