"""What a batch is given: the check of its items and of its numbers.

Knows no HTTP library, and nothing of how a batch runs.
"""

from __future__ import annotations

from typing import Any, Iterable, List, Tuple

from ..redaction import redact_text

Item = Tuple[str, str, Any]


def check_batch(requests_data: Iterable[Any], max_workers: Any) -> List[Item]:
    """Return the items of a batch, all of them checked.

    :raises TypeError: when an item is not ``(method, url, kwargs)``; the message has its index.
    :raises ValueError: when ``max_workers`` is below 1.

    >>> check_batch([("GET", "https://api.test/", {}), ("GET",)], 5)
    Traceback (most recent call last):
    ...
    TypeError: requests_data[1] must be a (method, url, kwargs) tuple, not ('GET',)
    """
    check_count("max_workers", max_workers, 1)
    check_iterable(requests_data, ("__iter__",))
    return [check_item(index, item) for index, item in enumerate(requests_data)]


def check_count(name: str, value: Any, least: int) -> int:
    """Return a number of something, checked.

    :raises TypeError: for what is no ``int``.
    :raises ValueError: for less than ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int of at least {least}, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be an int of at least {least}, not {value!r}")
    return value


def check_iterable(requests_data: Any, protocols: Tuple[str, ...]) -> None:
    """Check that there is something to go through.

    :param protocols: of which it must have one: ``__iter__``, ``__aiter__``.
    :raises TypeError: if it has none, or is a text.
    """
    if isinstance(requests_data, (str, bytes)) or not any(
        hasattr(requests_data, name) for name in protocols
    ):
        kind = "an iterable" if len(protocols) == 1 else "an iterable or async iterable"
        raise TypeError(
            f"requests_data must be {kind} of (method, url, kwargs), not "
            + redact_text(repr(requests_data))
        )


def check_item(index: int, item: Any) -> Item:
    """Return an item as ``(method, url, kwargs)``, checked.

    :raises TypeError: when it is of another form; the message has its index.
    """
    where = f"requests_data[{index}]"
    if not isinstance(item, (tuple, list)) or len(item) not in (2, 3):
        shown = f"a {type(item).__name__}" if isinstance(item, dict) else redact_text(repr(item))
        raise TypeError(f"{where} must be a (method, url, kwargs) tuple, not {shown}")
    method, url, kwargs = (*item, {})[:3]
    if not isinstance(method, str):
        raise TypeError(f"{where}: method must be a str, not {method!r}")
    # Whatever has a text of its own may be a URL: those of httpx, yarl, furl.
    speaks: Any = type(url).__str__
    if not isinstance(url, (str, bytes)) and speaks is object.__str__:
        raise TypeError(f"{where}: url must be a str or a URL object, not {url!r}")
    if kwargs is None:
        kwargs = {}
    if not isinstance(kwargs, dict) or not all(isinstance(name, str) for name in kwargs):
        raise TypeError(f"{where}: kwargs must be a dict with str keys")
    return method, url, kwargs


__all__ = ["Item", "check_batch", "check_count", "check_item", "check_iterable"]
