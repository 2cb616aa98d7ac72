"""What JSON has no form for, as something that it has one for.

Holds :func:`one_level`, the one table of types, and :func:`plain`, which applies it all the way
down and knows where it is. Models are told by what they have, so that no library of models is
imported. Encodes nothing.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import math
import sys
import uuid
from collections import deque
from pathlib import PurePath
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Set, Tuple, Union

from ..exceptions import ValidationError
from ..redaction import redact_text

Default = Callable[[Any], Any]
Step = Union[str, int]

_MAX_KEY = 60  # characters shown of a key


class _Refused(TypeError):
    """A value that JSON can't hold; its text is shown, and so holds no value."""


# -- one level -----------------------------------------------------------------------------------


def one_level(value: Any, default: Optional[Default] = None) -> Any:
    """Return a value that JSON has no form for as one that is nearer to it.

    :param default: called with what is not known here.
    :raises TypeError: for what can't be written as JSON.

    >>> one_level(decimal.Decimal("1.10")), one_level({3, 1, 2})
    ('1.10', [1, 2, 3])
    """
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, type):
        raise _Refused(f"it is the class {value.__name__}, not an object of it")
    for is_one, convert in _MODELS:
        if is_one(value):
            return convert(value, default)
    for kinds, write in _WRITTEN:
        if isinstance(value, kinds):
            return write(value)
    if default is not None:
        return default(value)
    raise _Refused(_why_not(value))


def _why_not(value: Any) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "bytes are not text; decode them, or send them base64-encoded or as an upload"
    name = type(value).__name__
    if hasattr(value, "__next__") or hasattr(value, "__anext__"):
        return f"a {name} can be read only once; make a list of it"
    return f"it is of type {name}, which has no form in JSON"


def _dataclass(value: Any, _: Any) -> Dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _attrs(value: Any, _: Any) -> Dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in value.__attrs_attrs__}


def _pydantic(value: Any, _: Any) -> Any:
    # What an API calls its fields are their aliases.
    return value.model_dump(mode="json", by_alias=True)


def _struct(value: Any, default: Optional[Default]) -> Any:
    def hook(other: Any) -> Any:
        return one_level(other, default)

    # It is there: somebody made the struct with it.
    return sys.modules["msgspec"].to_builtins(value, str_keys=True, enc_hook=hook)


def _object_with(name: str) -> Callable[[Any], bool]:
    def is_one(value: Any) -> bool:
        return hasattr(type(value), name)

    return is_one


# Objects of these are dataclasses, too, or may be: the first one counts.
_MODELS: Tuple[Tuple[Callable[[Any], bool], Callable[[Any, Optional[Default]], Any]], ...] = (
    (_object_with("model_dump"), _pydantic),
    (_object_with("__struct_fields__"), _struct),
    (_object_with("__dataclass_fields__"), _dataclass),
    (_object_with("__attrs_attrs__"), _attrs),
)


def _decimal(value: decimal.Decimal) -> str:
    if not value.is_finite():
        raise _Refused("NaN and Infinity are no numbers in JSON")
    return str(value)


def _moment(value: Union[datetime.datetime, datetime.time]) -> str:
    text = value.isoformat()
    return f"{text[:-6]}Z" if text.endswith("+00:00") else text


def _members(value: Any) -> List[Any]:
    try:
        return sorted(value)  # so that equal sets are sent as equal bytes
    except TypeError:
        return list(value)


_WRITTEN: Tuple[Tuple[Any, Callable[[Any], Any]], ...] = (
    ((datetime.datetime, datetime.time), _moment),
    (datetime.date, datetime.date.isoformat),
    (decimal.Decimal, _decimal),
    ((uuid.UUID, PurePath), str),
    ((set, frozenset), _members),
    ((tuple, list, deque), list),
    (Mapping, dict),
    (str, str.__str__),
    (float, float),
    (int, int),
)


# -- all the way down ----------------------------------------------------------------------------


def plain(value: Any, default: Optional[Default] = None) -> Any:
    """Return a value in what JSON has: ``dict``, ``list``, ``str``, numbers, ``bool``, ``None``.

    :param default: called with what is not known here.
    :raises ValidationError: for what can't be written; ``path`` leads to it.
    :raises RecursionError: if it is nested too deeply.

    >>> plain({uuid.UUID(int=1): (1, None)})
    {'00000000-0000-0000-0000-000000000001': [1, None]}
    """
    return _Descent(default).convert(value)


class _Descent:
    """One walk through a value.

    :ivar path: the steps to where it is.
    """

    def __init__(self, default: Optional[Default]) -> None:
        self._default = default
        self._around: Set[int] = set()
        self.path: List[Step] = []

    def convert(self, value: Any) -> Any:
        if value is None or isinstance(value, (bool, int)):
            return value
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, float):
            return self._number(value)
        if id(value) in self._around:
            raise self._refused("it holds itself")
        self._around.add(id(value))
        try:
            return self._inner(value)
        finally:
            self._around.discard(id(value))

    def _inner(self, value: Any) -> Any:
        if isinstance(value, dict):
            return dict(self._items(value))
        if isinstance(value, (list, tuple)):
            return [self._at(index, item) for index, item in enumerate(value)]
        return self.convert(self._one_level(value))

    def _items(self, value: Dict[Any, Any]) -> Iterator[Tuple[str, Any]]:
        for key, item in value.items():
            name = self._key(key)
            yield name, self._at(name, item)

    def _at(self, step: Step, value: Any) -> Any:
        self.path.append(step)
        result = self.convert(value)
        self.path.pop()
        return result

    def _one_level(self, value: Any) -> Any:
        try:
            return one_level(value, self._default)
        except _Refused as error:
            why = str(error)
        except RecursionError:
            raise
        except Exception as error:  # of the model's own code: its text may quote values
            why = f"turning its {type(value).__name__} into JSON raised {type(error).__name__}"
        raise self._refused(why)

    def _text(self, value: str) -> str:
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            pass  # raised below, without this one, which quotes the text
        else:
            return value
        raise self._refused("it is text with a lone surrogate, which UTF-8 can't hold")

    def _number(self, value: float) -> float:
        if math.isfinite(value):
            return value
        raise self._refused("NaN and Infinity are no numbers in JSON")

    def _key(self, key: Any) -> str:
        if isinstance(key, str):
            return self._text(key)
        if key is None or isinstance(key, bool):
            return {None: "null", True: "true", False: "false"}[key]
        if isinstance(key, int):
            return int.__repr__(key)
        if isinstance(key, float):
            return float.__repr__(self._number(key))
        if isinstance(key, enum.Enum):
            return self._key(key.value)
        if isinstance(key, _KEYS):
            return str(self._one_level(key))
        raise self._refused(f"it has a key of type {type(key).__name__}, which has no text")

    def _refused(self, why: str) -> ValidationError:
        return ValidationError(
            f"{shown_path(self.path)} can't be sent as JSON: {why}", path=tuple(self.path)
        )


_KEYS = (datetime.date, datetime.time, decimal.Decimal, uuid.UUID, PurePath)


def shown_path(path: List[Step]) -> str:
    """Return a path as JSONPath writes it.

    >>> shown_path(["orders", 3, "unit price"])
    "$.orders[3]['unit price']"
    """
    text = "$"
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step.isidentifier() and len(step) <= _MAX_KEY:
            text += f".{step}"
        else:
            text += f"[{step[:_MAX_KEY]!r}]"
    return redact_text(text)


__all__ = ["one_level", "plain", "shown_path"]
