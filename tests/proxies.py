"""A double as monitoring tools put it in place of a function."""

from __future__ import annotations

from functools import partial
from typing import Any


class Proxy:
    """Equals the function that it stands in for, and shows its attributes, as wrapt's do."""

    def __init__(self, function: Any, double: Any) -> None:
        self._function, self._double = function, double

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else Proxy(self._function, partial(self._double, instance))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._double(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)

    def __eq__(self, other: object) -> bool:
        return bool(self._function == other)

    __hash__ = None  # type: ignore[assignment]  # nobody asks
