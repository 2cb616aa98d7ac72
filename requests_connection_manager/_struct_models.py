"""Models made of msgspec structs: which they are, and how data becomes one.

Holds what ``validation`` does by msgspec, which is loaded when a model needs it. Knows neither
pydantic nor any wording but that of msgspec.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, List, Tuple, Type, Union

from . import extras

Path = Tuple[Union[str, int], ...]

# "Expected `int`, got `str` - at `$.items[0].id`", or "… - at `key` in `$.counts`".
_PLACE = re.compile(r" - at (?:`key` in )?`\$(.*)`\Z", re.DOTALL)
_STEP = re.compile(r"\[([0-9]+)\]|\[\.\.\.\]|\.((?:[^.\[]|\[(?![0-9]+\]|\.\.\.\]))+)")
_MISSING = re.compile(r"Object missing required field `(.*)`")
# These quote a value, or a name that came with the data.
_QUOTED = re.compile(r"(Invalid (?:enum )?value) .*|(Object contains unknown field) .*", re.DOTALL)


def has_struct(model: Any) -> bool:
    """Tell whether a model is a msgspec struct, or is made of some: ``List[Struct]``.

    >>> has_struct(List[int])
    False
    """
    waiting = [model]
    seen: List[Any] = []
    while waiting:
        one = waiting.pop()
        if hasattr(one, "__struct_fields__"):
            return True
        if not any(one is before for before in seen):
            seen.append(one)
            waiting.extend(_parts(one))
    return False


def _parts(model: Any) -> List[Any]:
    inner = getattr(model, "__args__", None)
    found = list(inner) if isinstance(inner, tuple) else []
    return [*found, model.__origin__] if hasattr(model, "__origin__") else found


def check(model: Any) -> None:
    """Refuse a model that msgspec can't use.

    :raises Exception: msgspec's own, of many kinds.
    :raises ImportError: if msgspec is not installed.
    """
    try:
        hash(model)
    except TypeError:
        _decoder(model)
    else:
        _cached_decoder(model)


def _decoder(model: Any) -> Any:
    return _msgspec().json.Decoder(model)


_cached_decoder = lru_cache(maxsize=256)(_decoder)


def _msgspec() -> Any:
    return extras.load("msgspec", extra="msgspec")


def convert(data: Any, model: Any) -> Any:
    """Return data as a model.

    :raises Exception: :func:`failure` if it is not of that form; it may quote values.
    """
    return _msgspec().convert(data, model, str_keys=True)


def failure() -> Type[Exception]:
    """Return the class of msgspec's error for data that is not of the form of a model."""
    kind: Type[Exception] = _msgspec().ValidationError
    return kind


def explained(error: Exception) -> Tuple[str, Path]:
    """Return what is wrong, without the values, and where.

    >>> explained(ValueError("Object missing required field `id` - at `$.items[0]`"))
    ('Object missing required field `id`', ('items', 0, 'id'))
    >>> explained(ValueError("Invalid enum value 'abc' - at `$.kind`"))
    ('Invalid enum value', ('kind',))
    """
    text = str(error)
    place = _PLACE.search(text)
    path: List[Union[str, int]] = []
    for step in _STEP.finditer(place.group(1) if place else ""):
        if step.group(1) is None and step.group(2) is None:
            break  # a key that msgspec doesn't name
        path.append(step.group(2) if step.group(1) is None else int(step.group(1)))
    message = text[: place.start()] if place else text
    missing = _MISSING.fullmatch(message)
    if missing:
        path.append(missing.group(1))
    quoted = _QUOTED.fullmatch(message)
    return (quoted.group(1) or quoted.group(2)) if quoted else message, tuple(path)


__all__ = ["check", "convert", "explained", "failure", "has_struct"]
