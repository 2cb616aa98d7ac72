"""Which span is current, through nested calls and their attempts.

Holds :class:`Frames`, a listener's view of a stack in a context variable: the frames of a thread or
task are its own, and those of the task that started it are below. Knows nothing of events.
"""

from __future__ import annotations

import contextvars
from typing import Any, Callable, Generic, Optional, TypeVar

from ..origins import Origin

T = TypeVar("T")


class Frame(Generic[T]):
    """Something that has begun and not yet ended.

    :ivar kind: what it is.
    :ivar about: the event with which it began.
    :ivar span: its span.
    :ivar inner: the frame within it that its end would end as well.
    :ivar sent: how many requests were sent for it.
    :ivar home: the origin that the first of them went to.
    """

    __slots__ = (
        *("about", "below", "home", "inner", "kind", "outer", "over", "owner", "sent", "span"),
        "waiting",
    )

    def __init__(self, owner: object, about: T, span: Any, outer: Any) -> None:
        self.owner = owner
        self.about = about
        self.kind = type(about)
        self.span = span
        self.outer = outer
        self.below = _top.get()
        self.over = self.waiting = False
        self.inner: Optional[Frame[Any]] = None
        self.sent = 0
        self.home: Optional[Origin] = None


# One for all listeners: they make their spans current in turn, and have to undo it in turn.
_top: contextvars.ContextVar[Optional[Frame[Any]]] = contextvars.ContextVar(
    "requests_connection_manager_spans", default=None
)


class Frames:
    """The frames of one listener.

    :param attach: makes a context of the telemetry library current, in this thread or task.

    No token is kept to undo that: it could be used in the context only in which it was made, and a
    coroutine that was abandoned is closed in another.
    """

    def __init__(self, attach: Callable[[Any], Any]) -> None:
        self._attach = attach

    def enter(self, about: Any, span: Any, outer: Any, inner: Any) -> Frame[Any]:
        """Make ``span`` current.

        :param outer: the context that is current.
        :param inner: the context that has the span.
        """
        frame: Frame[Any] = Frame(self, about, span, outer)
        self._attach(inner)
        _top.set(frame)
        return frame

    def leave(self, frame: Frame[Any]) -> None:
        """Make current again what was before ``frame``, as soon as nothing is above it."""
        frame.over = True
        top = _top.get()
        if top is not frame:
            # Another listener's is above; or this is not where it was entered.
            frame.waiting = True
            return
        while top is not None and (top is frame or top.waiting):
            self._attach(top.outer)
            top = top.below
        _top.set(top)

    def innermost(self, *kinds: type) -> Optional[Frame[Any]]:
        """Return the innermost frame of these kinds that is not over, or ``None``."""
        frame = _top.get()
        while frame is not None:
            if frame.owner is self and frame.kind in kinds and not frame.over:
                return frame
            frame = frame.below
        return None


__all__ = ["Frame", "Frames"]
