"""What httpcore tells about the connection of one attempt.

Holds the callbacks for its ``trace`` extension, for both sides. Knows no HTTP library.
"""

from __future__ import annotations

from typing import Any, Awaitable, Callable, Dict, Optional

Trace = Callable[[str, Dict[str, Any]], Optional[Awaitable[None]]]


class ConnectionTrace:
    """What httpcore tells about the connection of one attempt (its ``trace`` extension).

    :ivar connected: a new connection was opened for it.
    :ivar sending: the request was put on a connection.
    :ivar answered: the head of a response came back.
    """

    __slots__ = ("_users", "answered", "connected", "sending")

    def __init__(self, users: Optional[Trace]) -> None:
        self._users = users
        self.connected = self.sending = self.answered = False

    def note(self, name: str) -> None:
        """Take note of a step."""
        if name.startswith("connection.connect"):
            self.connected = True
        elif name.endswith("send_request_headers.started"):
            self.sending = True
        elif name.endswith("receive_response_headers.complete"):
            self.answered = True

    @property
    def reused_in_vain(self) -> bool:
        """Whether the request went out on an old connection and nothing came back."""
        return self.sending and not self.connected and not self.answered

    @property
    def for_us_alone(self) -> bool:
        """Whether nobody wants to hear more than the attributes tell: they can be set directly."""
        return self._users is None


class AsyncConnectionTrace(ConnectionTrace):
    """The same as httpcore's asynchronous side calls it."""

    __slots__ = ()

    async def __call__(self, name: str, info: Dict[str, Any]) -> None:
        """Take note of a step, and pass it on to the user's own trace."""
        self.note(name)
        if self._users is not None:
            passed_on = self._users(name, info)
            assert passed_on is not None
            await passed_on


class SyncConnectionTrace(ConnectionTrace):
    """The same as httpcore's synchronous side calls it."""

    __slots__ = ()

    def __call__(self, name: str, info: Dict[str, Any]) -> None:
        """Take note of a step, and pass it on to the user's own trace."""
        self.note(name)
        if self._users is not None:
            self._users(name, info)


__all__ = ["AsyncConnectionTrace", "ConnectionTrace", "SyncConnectionTrace", "Trace"]
