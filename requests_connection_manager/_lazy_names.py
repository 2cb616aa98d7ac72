"""Names of a package that are loaded when they are first used.

Holds :func:`lazy_names`, which gives a package its ``__getattr__`` and ``__dir__``, and
:func:`lazy_function` for what one module takes from another. Imports nothing of ours.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any, Callable, List, Mapping, Tuple


def lazy_names(
    package: str, names_of: Mapping[str, Tuple[str, ...]]
) -> Tuple[Callable[[str], Any], Callable[[], List[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for a package (PEP 562).

    :param package: its ``__name__``.
    :param names_of: module below it -> the names that are to be found there.
    """
    home = {name: module for module, names in names_of.items() for name in names}

    def __getattr__(name: str) -> Any:
        module = home.get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f".{module}", package), name)
        vars(sys.modules[package])[name] = value
        return value

    def __dir__() -> List[str]:
        return sorted({*vars(sys.modules[package]), *home})

    return __getattr__, __dir__


def lazy_function(package: str, module: str, name: str) -> Any:
    """Return a function that loads the one it stands for when it is first called.

    For what every request calls: this adds 0.1 µs, an ``import`` in the caller 1 µs and on
    Python 3.8 even 14.

    :param package: in which the module is.

    >>> lazy_function("concurrent", "futures", "Future")().done()
    False
    """
    found: Any = None

    def call(*args: Any, **options: Any) -> Any:
        nonlocal found
        if found is None:
            found = getattr(importlib.import_module(f".{module}", package), name)
        return found(*args, **options)

    return call
