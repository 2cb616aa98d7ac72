"""Bodies that are read while they come: events, JSON lines, downloads.

This module holds names only; each is loaded from its own module when it is first used. The methods
of the clients (``events``, ``json_lines``, ``download``) are in ``faces``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy_names import lazy_names

if TYPE_CHECKING:
    from ._download import Download
    from .event_source import AsyncEventSource, EventSource
    from .exchange import Exchange, Exchanger
    from .json_stream import AsyncJsonLines, JsonLines
    from .progress import Progress

_NAMES_OF = {
    "_download": ("Download",),
    "event_source": ("AsyncEventSource", "EventSource"),
    "exchange": ("Exchange", "Exchanger"),
    "json_stream": ("AsyncJsonLines", "JsonLines"),
    "progress": ("Progress",),
}
__getattr__, __dir__ = lazy_names(__name__, _NAMES_OF)

__all__ = [
    "AsyncEventSource",
    "AsyncJsonLines",
    "Download",
    "EventSource",
    "Exchange",
    "Exchanger",
    "JsonLines",
    "Progress",
]
