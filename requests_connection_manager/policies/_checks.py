"""Checks that a policy makes of the numbers it is built with.

Settings are checked where they are given; these keep a policy that is built by hand from silently
doing nonsense. Must not know what the numbers are for.
"""

from __future__ import annotations

import math
from typing import Callable, Optional


def check_count(value: int, name: str, least: int = 1) -> int:
    """Return ``value``; raise ``TypeError`` or ``ValueError`` unless it is an int from ``least``.

    >>> check_count(0, "max_workers")
    Traceback (most recent call last):
    ValueError: max_workers must be at least 1, got 0
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value!r}")
    return value


def check_number(value: float, name: str, least: Optional[float] = None) -> float:
    """Return ``value``; raise unless it is finite and from ``least`` (default: above 0).

    Raises ``TypeError`` or ``ValueError``.

    >>> check_number(-1.0, "period")
    Traceback (most recent call last):
    ValueError: period must be above 0, got -1.0
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value!r}")
    if least is None and value <= 0:
        raise ValueError(f"{name} must be above 0, got {value!r}")
    if least is not None and value < least:
        raise ValueError(f"{name} must be at least {least}, got {value!r}")
    return float(value)


def check_callable(value: Callable[[], float], name: str) -> Callable[[], float]:
    """Return ``value``; raise ``TypeError`` unless it can be called."""
    if not callable(value):
        raise TypeError(f"{name} must be callable, got {value!r}")
    return value
