"""Frozen dataclasses that cost next to nothing to define.

Holds :func:`dataclass` and :func:`field`, in place of ``dataclasses.dataclass(frozen=True)`` and
its ``field``. The standard ones import ``inspect``, then write and compile the source of some
methods for each class: 0.5 ms apiece, which for all of ours is a sixth of importing requests. Here
all classes share the methods of :class:`_Shared`, which go by the names of the fields. Making an
object with all its fields by position takes no longer than there.

Type checkers see the standard ones, and so do programs: what ``dataclasses.fields``, ``replace``
and ``asdict``, ``inspect.signature`` or a standard dataclass as a subclass look for comes from a
genuine dataclass with the same fields, which is built when somebody asks. Knows nothing of ours.
"""

from __future__ import annotations

import sys
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, Tuple

if TYPE_CHECKING:
    from dataclasses import dataclass, field
else:

    def dataclass(*, frozen: bool, repr: bool = True) -> Callable[[type], type]:
        """Make a class a frozen dataclass.

        :param frozen: ``True``; other dataclasses are those of the standard library.
        :param repr: whether it gets a ``__repr__``.

        >>> @dataclass(frozen=True)
        ... class Point:
        ...     x: int
        ...     y: int = 0
        >>> Point(1)
        Point(x=1, y=0)
        """
        if not frozen:
            raise TypeError(f"frozen must be True, not {frozen!r}")
        return lambda cls: _made_dataclass(cls, repr)

    def field(**options: Any) -> _Options:
        """Give a field ``default`` or ``default_factory``, ``compare`` or ``repr``."""
        return _Options(options)


class _Options:
    """What ``dataclasses.field`` takes, for one field."""

    def __init__(self, given: Dict[str, Any]) -> None:
        self.given = given


class _Fields:
    """The fields of a class, the inherited ones first.

    :ivar names: of all fields.
    :ivar compared: names of those that count for ``==`` and ``hash``.
    :ivar shown: names of those that ``repr`` shows.
    """

    def __init__(self, cls: type, repr: bool) -> None:
        self.cls, self._repr = cls, repr
        self._types: Dict[str, Any] = {}
        self._options: Dict[str, Dict[str, Any]] = {}
        for base in reversed(cls.__mro__[1:]):
            inherited = vars(base).get("_dataclass_fields")
            if inherited is not None:
                self._types.update(inherited._types)
                self._options.update(inherited._options)
        for name, kind in _own_annotations(cls).items():
            self._types[name] = kind
            self._options[name] = _taken_options(cls, name)
        self.names = tuple(self._options)
        self.compared = self._names_with("compare")
        self.shown = self._names_with("repr")
        self._genuine: Any = None

    def _names_with(self, option: str) -> Tuple[str, ...]:
        return tuple(name for name, one in self._options.items() if one.get(option, True))

    def complete(self, args: Tuple[Any, ...], given: Mapping[str, Any]) -> Dict[str, Any]:
        """Return the value of every field in their order, defaults included."""
        values = dict(zip(self.names, args))
        clear = len(values) == len(args) and values.keys().isdisjoint(given)
        values.update(given)
        for name, options in self._options.items():
            if name not in values and "default" in options:
                values[name] = options["default"]
            elif name not in values and "default_factory" in options:
                values[name] = options["default_factory"]()
        if not clear or values.keys() != self._options.keys():
            self.genuine()(*args, **given)  # says what is wrong
        return {name: values[name] for name in self.names}

    def genuine(self) -> Any:
        """Return the standard dataclass with the same fields."""
        if self._genuine is None:
            import dataclasses

            fields = [
                (name, self._types[name], dataclasses.field(**options))
                for name, options in self._options.items()
            ]
            self._genuine = dataclasses.make_dataclass(
                self.cls.__name__, fields, frozen=True, repr=self._repr
            )
        return self._genuine


def _own_annotations(cls: type) -> Mapping[str, Any]:
    if sys.version_info >= (3, 10):
        return cls.__annotations__
    # There a class without annotations shows those of its base.
    own: Mapping[str, Any] = vars(cls).get("__annotations__", {})
    return own


def _taken_options(cls: type, name: str) -> Dict[str, Any]:
    """Return the options of a field; of what stands in its class only a default stays."""
    if name not in vars(cls):
        return {}
    value = vars(cls)[name]
    if not isinstance(value, _Options):
        return {"default": value}
    if "default" in value.given:
        setattr(cls, name, value.given["default"])
    else:
        delattr(cls, name)
    return value.given


class _OfTheGenuine:
    """An attribute of classes that is taken from their genuine dataclass."""

    def __init__(self, take: Callable[[Any], Any]) -> None:
        self._take = take

    def __get__(self, instance: object, owner: Any) -> Any:
        return self._take(owner)


def _signature(owner: Any) -> Any:
    if owner.__init__ is not _Shared.__init__:
        raise AttributeError("__signature__")  # a subclass with an __init__ of its own
    import inspect

    return inspect.signature(owner._dataclass_fields.genuine())


# Fields that are set so are read 10 ns faster, before Python 3.13, than those that went through
# the object's __dict__; but setting them takes longer than that saves on what is short-lived.
_set = object.__setattr__


class _Shared:
    """What each class gets, unless it has its own."""

    _dataclass_fields: _Fields

    __dataclass_fields__ = _OfTheGenuine(
        lambda owner: owner._dataclass_fields.genuine().__dataclass_fields__
    )
    __dataclass_params__ = _OfTheGenuine(
        lambda owner: owner._dataclass_fields.genuine().__dataclass_params__
    )
    __signature__ = _OfTheGenuine(_signature)

    def __init__(self, *args: Any, **given: Any) -> None:
        fields = self._dataclass_fields
        if len(args) == len(fields.names) and not given:
            self.__dict__.update(zip(fields.names, args))
        else:
            for name, value in fields.complete(args, given).items():
                _set(self, name, value)

    @recursive_repr()
    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in self._dataclass_fields.shown)
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return _compared(self) == _compared(other)

    def __hash__(self) -> int:
        return hash(_compared(self))

    def __setattr__(self, name: str, value: Any) -> None:
        _refuse(self, name, "assign to")
        _set(self, name, value)

    def __delattr__(self, name: str) -> None:
        _refuse(self, name, "delete")
        object.__delattr__(self, name)

    def __replace__(self, **changes: Any) -> Any:
        names = self._dataclass_fields.names
        return type(self)(**{**{name: getattr(self, name) for name in names}, **changes})


def _compared(one: Any) -> Tuple[Any, ...]:
    return tuple([getattr(one, name) for name in one._dataclass_fields.compared])


def _refuse(one: Any, name: str, what: str) -> None:
    fields = one._dataclass_fields
    # A subclass that is no dataclass may have attributes of its own.
    if type(one) is fields.cls or name in fields.names:
        from dataclasses import FrozenInstanceError

        raise FrozenInstanceError(f"cannot {what} field {name!r}")


_METHODS = {
    name: getattr(_Shared, name)
    for name in (
        *("__init__", "__repr__", "__eq__", "__hash__"),
        *("__setattr__", "__delattr__", "__replace__"),
    )
}
_ATTRIBUTES = {
    name: vars(_Shared)[name]
    for name in ("__dataclass_fields__", "__dataclass_params__", "__signature__")
}


def _made_dataclass(cls: Any, repr: bool) -> Any:
    fields = _Fields(cls, repr)
    for name, method in _METHODS.items():
        # A class with an __eq__ of its own says None for its __hash__.
        own = vars(cls).get(name) is not None
        # Setting a method takes 1 µs: those that come from a base are left there.
        if not own and getattr(cls, name, None) is not method and (repr or name != "__repr__"):
            setattr(cls, name, method)
    attributes = {**_ATTRIBUTES, "_dataclass_fields": fields, "__match_args__": fields.names}
    for name, value in attributes.items():
        setattr(cls, name, value)
    return cls


__all__ = ["dataclass", "field"]
