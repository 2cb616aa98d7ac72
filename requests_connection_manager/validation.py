"""From parsed data to what was asked for: the part under a key, as a model.

Holds :func:`pick`, :func:`validate` and :func:`check_model`; knows pydantic (version 2, the extra
``pydantic``), which is loaded at first use. Models of msgspec (the extra ``msgspec``) are known to
``_struct_models``. Every function may be called from any thread.
"""

from __future__ import annotations

import json
from functools import lru_cache
from itertools import islice
from typing import Any, List, Mapping, Tuple, Type, TypeVar, Union, overload

from . import _struct_models, extras
from .content import excerpt
from .exceptions import ValidationError
from .redaction import redact_text, redact_values

M = TypeVar("M")

_OF_TYPES = ("typing", "typing_extensions", "types")  # where List[int] and its like come from
_MAX_KEYS = 20  # shown of an object
_MAX_KEY = 60  # characters shown of a key
_MAX_ERRORS = 5  # shown of a model
_MAX_TEXT = 300  # characters shown of one of them
_MAX_VALUES = 1000  # looked for in the text of an error


def pick(data: Any, response_key: str) -> Any:
    """Return what a response holds under a key.

    :param data: the parsed response.
    :param response_key: the key, looked up at the top only.

    :raises ValidationError: if there is no such key, with the keys that there are, or if ``data``
        is no object, with what it is. ``path`` is the key, ``body`` is ``data``.
    :raises TypeError: if ``response_key`` is no ``str``.

    >>> pick({"data": [1, 2], "total": 2}, "data")
    [1, 2]
    >>> pick({"items": [], "total": 0}, "data")
    Traceback (most recent call last):
    ...
    requests_connection_manager.exceptions.ValidationError: the response has no key 'data', only \
'items', 'total'
    """
    if not isinstance(response_key, str):
        raise TypeError(f"response_key must be a str, not {type(response_key).__name__}")
    if isinstance(data, Mapping) and response_key in data:
        return data[response_key]
    key = _shown_key(response_key)
    if isinstance(data, Mapping):
        text = f"the response has no key {key}, only {_keys(data)}"
    else:
        text = f"the response is no object with a key {key}, but {_kind(data)}"
    raise ValidationError(text, body=data, path=(response_key,))


def _keys(data: Mapping[Any, Any]) -> str:
    shown = ", ".join(_shown_key(key) for key in islice(data, _MAX_KEYS))
    more = len(data) - _MAX_KEYS
    return (shown or "{}") + (f" and {more} more" if more > 0 else "")


def _shown_key(key: Any) -> str:
    if not isinstance(key, (str, int)):
        return type(key).__name__
    return redact_text(_cut(repr(key), _MAX_KEY))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}…"


def _kind(data: Any) -> str:
    if data is None:
        return "nothing (an empty body or null)"
    if isinstance(data, str):
        return f"the text {excerpt(data)}"
    if isinstance(data, (bytes, list, tuple)):
        return f"{type(data).__name__} of length {len(data)}"
    return type(data).__name__


# -- models --------------------------------------------------------------------------------------


@overload
def validate(data: Any, model: Type[M]) -> M: ...
@overload
def validate(data: Any, model: Any) -> Any: ...
def validate(data: Any, model: Any) -> Any:
    """Return ``data`` as a model, by pydantic or msgspec.

    :param data: parsed JSON, or what a client made of it; an instance of the model passes as it is.
    :param model: what pydantic knows as a type: a ``BaseModel``, ``List[Model]``, ``Optional``,
        ``Dict``, a dataclass, a ``TypedDict``, ``int``; or a ``pydantic.TypeAdapter``. A strict
        model accepts what it accepts of JSON. Or a ``msgspec.Struct``, or a type made of some such
        as ``List[Struct]``: these need no pydantic, and are as strict as msgspec is by default.

    :raises ValidationError: if the data is not of this form. The text names the model, fields and
        what is wrong, never the values: these may be secrets. ``path`` leads to the first field,
        ``body`` is ``data``, ``__cause__`` is the library's error, without the values too.
    :raises TypeError: if pydantic can't make a schema of ``model``, or msgspec a decoder.
    :raises ImportError: if pydantic 2 is not installed.

    >>> from typing import List
    >>> validate(["1", 2], List[int])
    [1, 2]
    >>> try:
    ...     validate(["1", "secret"], List[int])
    ... except ValidationError as error:
    ...     print(error, error.path)
    the response is no list[int]: [1]: Input should be a valid integer, unable to parse string as \
an integer (1,)
    """
    if _struct_models.has_struct(model):
        return _as_struct(data, model)
    pydantic = _pydantic()
    adapter = _adapter(model, pydantic)
    try:
        return adapter.validate_python(data)
    except pydantic.PydanticUserError as error:
        raise _wrong_model(model, error) from error  # names in it that are not defined
    except pydantic.ValidationError as error:
        failure = error.with_traceback(None)
    try:
        # Strict models, and types that know JSON from Python, accept more of JSON.
        return adapter.validate_json(json.dumps(data))
    except (ValueError, TypeError, RecursionError):
        pass
    # Outside of the handlers, or pydantic's error, with the values, would stay in __context__.
    raise _invalid(data, failure) from _without_values(failure)


def check_model(model: Any) -> None:
    """Refuse what :func:`validate` can't use, before there is any data.

    :raises TypeError: if pydantic can't make a schema of ``model``, or msgspec a decoder.
    :raises ImportError: if pydantic 2 is not installed.

    >>> check_model(int)
    >>> check_model(object())
    Traceback (most recent call last):
    ...
    TypeError: model must be a type that pydantic knows, not an object of type object
    """
    if _struct_models.has_struct(model):
        _check_struct(model)
        return
    pydantic = _pydantic()
    adapter = _adapter(model, pydantic)
    try:
        # Names in it are looked up at first use, and this is one.
        _ = adapter.validator.validate_python
    except pydantic.PydanticUserError as error:
        raise _wrong_model(model, error) from error


def _pydantic() -> Any:
    pydantic = extras.load("pydantic", extra="pydantic")
    if not hasattr(pydantic, "TypeAdapter"):
        raise extras.missing_extra("pydantic", "pydantic 2")
    return pydantic


def _adapter(model: Any, pydantic: Any) -> Any:
    if isinstance(model, pydantic.TypeAdapter):
        return model
    if isinstance(model, pydantic.BaseModel):
        # Pydantic would take it for its class; it is a mistake, and its repr shows its values.
        raise TypeError(f"model must be a type, not {_name(model)}")
    try:
        hash(model)
    except TypeError:
        return _built(model, "")
    # Union[int, str] equals Union[str, int], and is tried in another order: only its text tells.
    return _cached(model, repr(model))


def _built(model: Any, _: str) -> Any:
    try:
        return _pydantic().TypeAdapter(model)
    except Exception as error:  # of many kinds, KeyError and NameError among them
        # The error of what is no type quotes it, with the values that it may hold.
        raise _wrong_model(model, error) from (error if _is_type(model) else None)


_cached = lru_cache(maxsize=256)(_built)


def _wrong_model(model: Any, error: Exception, library: str = "pydantic") -> TypeError:
    why = f": {_cut(str(error).partition(chr(10))[0], _MAX_TEXT)}" if _is_type(model) else ""
    return TypeError(f"model must be a type that {library} knows, not {_name(model)}{why}")


def _is_type(model: Any) -> bool:
    return isinstance(model, type) or type(model).__module__ in _OF_TYPES


def _name(model: Any) -> str:
    if not _is_type(model):
        return f"an object of type {type(model).__name__}"
    return _cut(repr(model), _MAX_TEXT)


def _as_struct(data: Any, model: Any) -> Any:
    _check_struct(model)
    try:
        return _struct_models.convert(data, model)
    except _struct_models.failure() as error:
        failure = error.with_traceback(None)
    message, path = _struct_models.explained(failure)
    if failure.__cause__ is not None:  # raised by the model's own code, which may quote values
        message = redact_values(message, _texts(data))
    message = redact_text(_cut(message, _MAX_TEXT))
    place = _path(path)
    name = model.__name__ if isinstance(model, type) else _name(model).replace("typing.", "")
    raise ValidationError(
        f"the response is no {name}: {place}{': ' if place else ''}{message}", body=data, path=path
    ) from type(failure)(message)


def _check_struct(model: Any) -> None:
    try:
        _struct_models.check(model)
    except ImportError:
        raise
    except Exception as error:  # of many kinds, NameError among them
        raise _wrong_model(model, error, "msgspec") from (error if _is_type(model) else None)


# -- what was wrong ------------------------------------------------------------------------------


def _invalid(data: Any, failure: Any) -> ValidationError:
    errors = failure.errors()
    shown = "; ".join(map(_problem, errors[:_MAX_ERRORS]))
    more = f" and {len(errors) - _MAX_ERRORS} more" if len(errors) > _MAX_ERRORS else ""
    came = f" but {_kind(data)}" if data is None else ""
    return ValidationError(
        f"the response is no {_cut(failure.title, _MAX_TEXT)}{came}: {shown}{more}",
        body=data,
        path=tuple(errors[0]["loc"]),
    )


def _problem(error: Mapping[str, Any]) -> str:
    path = _path(error["loc"])
    text = _cut(_message(error), _MAX_TEXT)
    return f"{path}: {text}" if path else text


def _path(path: Tuple[Union[str, int], ...]) -> str:
    """Return a path as it is written in Python: ``items[0].id``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{_cut(step, _MAX_KEY)}"
    return redact_text(text.lstrip("."))


def _message(error: Mapping[str, Any]) -> str:
    """Return what is wrong, without the values."""
    message = str(error["msg"])
    # Texts that a model's author wrote may quote the value; pydantic's own do not, but for one.
    if error["type"] in ("value_error", "assertion_error", "union_tag_invalid") or (
        "url" not in error
    ):
        tag = error.get("ctx", {}).get("tag")
        message = redact_values(message, [*_texts(tag), *_texts(error["input"])])
    return redact_text(message)


def _texts(data: Any) -> List[str]:
    """Return the values of ``data`` as texts, of the first of them."""
    found: List[str] = []
    waiting = [data]
    for _ in range(_MAX_VALUES):
        if not waiting:
            break
        value = waiting.pop()
        if isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, (list, tuple)):
            waiting.extend(value)
        elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
            found.append(str(value))
    return found


def _without_values(failure: Any) -> Exception:
    """Return pydantic's error again: a traceback shows it, and it would show the values."""
    core = extras.load("pydantic_core", extra="pydantic")
    details = [
        {
            "type": core.PydanticCustomError(error["type"], _message(error)),
            "loc": error["loc"],
            "input": None,
        }
        for error in failure.errors()
    ]
    again: Exception = type(failure).from_exception_data(failure.title, details, hide_input=True)
    return again


__all__ = ["check_model", "pick", "validate"]
