"""``APIConnector``: the class that connectors to one vendor's API extend.

Holds the connector's own vocabulary for retries, its delays and its defaults; everything else is
the manager's, which is its ``session``.
"""

from __future__ import annotations

import weakref
from types import TracebackType
from typing import Any, Callable, Dict, List, Mapping, Optional, Type, TypeVar

import requests

from ._forks import RenewedLock
from .base_url import check_base_url, join
from .defaults import DEFAULT_CIRCUIT_BREAKER_FAILURE_THRESHOLD
from .manager import ConnectionManager
from .origins import Origin, origin_of
from .redaction import redact_text, redact_url
from .settings import MANAGER, UNSET, check_settings

Self = TypeVar("Self", bound="APIConnector")

_THRESHOLD = "circuit_breaker_failure_threshold"
_NOT_OURS: Any = object()

# Settings and what is shown of them change together, whichever thread changes them.
_changing = RenewedLock()

RETRY_SETTINGS = (
    "max_retries",
    "backoff_factor",
    "status_forcelist",
    "allowed_methods",
    "raise_on_status",
)
"""The names of the retry settings, in the order in which they are shown."""

_STATUSES = (408, 413, 429, 500, 502, 503, 504, 521, 522, 524)
_METHODS = ("HEAD", "GET", "PUT", "DELETE", "OPTIONS", "TRACE", "POST", "PATCH")


class APIConnector:
    """Base class of connectors: a session with automatic retries, and little else.

    Extend it, take ``**kwargs`` and hand them to ``super().__init__``; defaults of your own can be
    class attributes. ``session`` is a ``ConnectionManager``, hence a ``requests.Session``.

    The delay before retry *n* is ``backoff_factor * 2 ** (n - 2)`` seconds, without jitter: 1, 2,
    4, 8, 16 for a factor of 2. A ``Retry-After`` of the server raises it.

    :param session: a manager to share: its connections, cookies, credentials, breakers and
        limiters; the retry settings are this connector's own.
    :param base_url: where the paths given to :meth:`get` and the like begin. With it, credentials
        of the session (its ``auth``, and headers and parameters that are secret by their name, too)
        go to its origin only, even when an absolute URL leads elsewhere.
    :param max_retries: retries after the first attempt; default 0.
    :param backoff_factor: seconds, as above; default 1.
    :param status_forcelist: statuses worth a retry.
    :param allowed_methods: methods that may be sent again after the server may have seen them.
        The default has POST and PATCH too, which a server may then carry out twice.
    :param raise_on_status: raise ``HTTPError`` for any unsuccessful response; default ``False``:
        the last response comes back.
    :param manager_settings: anything else that ``ConnectionManager`` takes, such as ``timeout``,
        ``bearer_token`` or ``total_timeout``; not together with ``session``. What is not given is
        as there: 100 attempts in 60 s for an origin, for example (``rate_limit_requests``).
    :raises TypeError: for a value of the wrong type, or an unknown parameter.
    :raises ValueError: for a value out of range.

    The circuit opens after two calls' worth of failures in a row, at least five, unless
    ``circuit_breaker_failure_threshold`` is given.

    Assigning to one of the retry attributes, or changing one of the lists, takes effect for calls
    that begin after it. Thread-safe as the manager is; pickles as its configuration.

    >>> class Vendor(APIConnector):
    ...     base_url = "https://api.example.com/v1"
    ...     max_retries = 3
    >>> with Vendor(timeout=10) as vendor:
    ...     vendor.max_retries, vendor.url("users/7")
    (3, 'https://api.example.com/v1/users/7')
    """

    # What the class that a subclass extends defines is what its instances start with.
    max_retries: int = 0
    backoff_factor: float = 1
    status_forcelist: List[int] = list(_STATUSES)  # noqa: RUF012  # instances have their own
    allowed_methods: List[str] = list(_METHODS)  # noqa: RUF012  # instances have their own
    raise_on_status: bool = False
    base_url: Optional[str] = None
    session: ConnectionManager

    _ready = False
    _shares: bool
    _threshold: Any

    def __init__(
        self,
        *,
        session: Optional[ConnectionManager] = None,
        base_url: Optional[str] = UNSET,
        max_retries: int = UNSET,
        backoff_factor: float = UNSET,
        status_forcelist: List[int] = UNSET,
        allowed_methods: List[str] = UNSET,
        raise_on_status: bool = UNSET,
        **manager_settings: Any,
    ) -> None:
        given = dict(locals())
        if base_url is not UNSET:
            self.base_url = base_url
        if self.base_url is not None:
            check_base_url(self.base_url)
        # An attribute that a subclass set before it called this is found here too.
        retry = _checked(
            {
                name: getattr(self, name) if given[name] is UNSET else given[name]
                for name in RETRY_SETTINGS
            }
        )
        settings = _as_manager_settings(retry)
        self._shares = session is not None
        self._threshold = _NOT_OURS
        if session is None:
            if _THRESHOLD not in manager_settings:
                settings[_THRESHOLD] = self._threshold = _threshold_for(retry["max_retries"])
            defaults = {"backoff_jitter": 0, **settings}
            self.session = ConnectionManager(**{**defaults, **manager_settings})
        else:
            _refuse_beside_session(manager_settings)
            self.session = _sharing(session, settings)
        self._remember(retry)
        self._bind_credentials(self.base_url)
        self._ready = True

    # -- the retry settings

    def get_retry_settings(self) -> Dict[str, Any]:
        """Return a copy of the current retry settings."""
        return {name: _copied(getattr(self, name)) for name in RETRY_SETTINGS}

    def set_retry_settings(
        self,
        max_retries: int = UNSET,
        backoff_factor: float = UNSET,
        status_forcelist: List[int] = UNSET,
        allowed_methods: List[str] = UNSET,
        raise_on_status: bool = UNSET,
    ) -> None:
        """Change some or all of the retry settings; connections and cookies stay.

        :raises TypeError: for a value of the wrong type; nothing is changed then.
        :raises ValueError: for a value out of range; nothing is changed then.
        """
        given = dict(locals())
        self._change({name: given[name] for name in RETRY_SETTINGS if given[name] is not UNSET})

    def _change(self, given: Mapping[str, Any], within: Optional[_LiveList] = None) -> None:
        """Check and apply changes; a list that is changed in place stays the attribute."""
        changes = _checked(given)
        session = self._changeable_session()
        settings = _as_manager_settings(changes)
        with _changing:
            if "max_retries" in changes and self._threshold == _threshold_of(session):
                settings[_THRESHOLD] = _threshold_for(changes["max_retries"])
            session.update_settings(**settings)
            self._threshold = settings.get(_THRESHOLD, self._threshold)
            if within is None:
                self._remember(changes)

    def _changeable_session(self) -> ConnectionManager:
        if not hasattr(self.session, "update_settings"):
            raise TypeError(
                f"session is a {type(self.session).__name__}, whose retries a connector can't set; "
                "assign a ConnectionManager"
            )
        return self.session

    def __setattr__(self, name: str, value: Any) -> None:
        if self._ready:
            if name in RETRY_SETTINGS:
                # ``+=`` has changed a list in place before it comes here.
                if not isinstance(value, list) or value is not self.__dict__[name]:
                    self.set_retry_settings(**{name: value})
                return
            if name == "base_url":
                self._bind_credentials(None if value is None else check_base_url(value))
            if name == "session":
                if value is not self.session:
                    self.close()
                    self._share(value)
                return
        super().__setattr__(name, value)

    def _share(self, session: Any) -> None:
        """Use a session that is somebody else's, with retry settings of our own if it has any."""
        if isinstance(session, ConnectionManager):
            session = _sharing(session, _as_manager_settings(self.get_retry_settings()))
            session.core.home = _home(self.base_url)
        self.__dict__.update(session=session, _shares=True, _threshold=_NOT_OURS)

    def _remember(self, retry: Mapping[str, Any]) -> None:
        for name, value in retry.items():
            live = _LiveList(value, self, name) if isinstance(value, list) else value
            self.__dict__[name] = live

    def _bind_credentials(self, base_url: Optional[str]) -> None:
        if isinstance(self.session, ConnectionManager):
            self.session.core.home = _home(base_url)

    # -- requests below base_url

    def url(self, path: str) -> str:
        """Return the URL of a path below ``base_url``; an absolute URL stays as it is.

        :raises TypeError: for anything but a ``str``.
        :raises ValueError: for a path that would leave ``base_url``, or a relative one without.
        """
        if not isinstance(path, str):
            raise TypeError(f"path must be a str, not {redact_text(repr(path))}")
        if self.base_url is not None:
            return join(self.base_url, path)
        if "://" not in path:
            raise ValueError(
                f"{type(self).__name__} has no base_url, so it can't tell where "
                f"{redact_url(path)!r} is; set base_url or give an absolute URL"
            )
        return path

    def request(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        """Send a request below ``base_url``; see ``ConnectionManager.request``."""
        return self.session.request(method, self.url(path), **kwargs)

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        """Send a ``GET`` request; see :meth:`request`."""
        return self.request("GET", path, **kwargs)

    def head(self, path: str, **kwargs: Any) -> requests.Response:
        """Send a ``HEAD`` request; see :meth:`request`."""
        return self.request("HEAD", path, **{"allow_redirects": False, **kwargs})

    def options(self, path: str, **kwargs: Any) -> requests.Response:
        """Send an ``OPTIONS`` request; see :meth:`request`."""
        return self.request("OPTIONS", path, **kwargs)

    def post(
        self, path: str, data: Any = None, json: Any = None, **kwargs: Any
    ) -> requests.Response:
        """Send a ``POST`` request; see :meth:`request`."""
        return self.request("POST", path, data=data, json=json, **kwargs)

    def put(self, path: str, data: Any = None, **kwargs: Any) -> requests.Response:
        """Send a ``PUT`` request; see :meth:`request`."""
        return self.request("PUT", path, data=data, **kwargs)

    def patch(self, path: str, data: Any = None, **kwargs: Any) -> requests.Response:
        """Send a ``PATCH`` request; see :meth:`request`."""
        return self.request("PATCH", path, data=data, **kwargs)

    def delete(self, path: str, **kwargs: Any) -> requests.Response:
        """Send a ``DELETE`` request; see :meth:`request`."""
        return self.request("DELETE", path, **kwargs)

    # -- life

    def close(self) -> None:
        """Close the connections, unless the session is shared."""
        if not self._shares:
            self.session.close()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def __copy__(self: Self) -> Self:
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._remember({name: getattr(self, name) for name in RETRY_SETTINGS})
        # Two that were one must not change each other's settings.
        twin._share(self.session)
        return twin

    def __getstate__(self) -> Dict[str, Any]:
        return {**self.__dict__, **self.get_retry_settings()}

    def __setstate__(self, state: Dict[str, Any]) -> None:
        self.__dict__.update(state)
        # What was shared stayed behind: a session is pickled as a manager of its own.
        self._shares = False
        self._remember({name: state[name] for name in RETRY_SETTINGS})

    def __repr__(self) -> str:
        where = "" if self.base_url is None else f" {redact_url(self.base_url)}"
        return f"<{type(self).__name__}{where} max_retries={self.max_retries!r}>"


def _checked(given: Mapping[str, Any]) -> Dict[str, Any]:
    """Return retry settings in the form in which they are shown, checked."""
    check_settings(given, MANAGER, "connector")
    return {name: _shown(value) for name, value in given.items()}


def _shown(value: Any) -> Any:
    # Sets have no order of their own: sorted, they are shown alike every time.
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return list(value) if isinstance(value, (list, tuple)) else value


def _home(base_url: Optional[str]) -> Optional[Origin]:
    """Return the only origin that gets the session's credentials; ``None``: wherever one asks."""
    return None if base_url is None else origin_of(base_url)


def _copied(value: Any) -> Any:
    return list(value) if isinstance(value, list) else value


def _as_manager_settings(retry: Mapping[str, Any]) -> Dict[str, Any]:
    """Return retry settings of a connector in the manager's terms."""
    settings = dict(retry)
    if "backoff_factor" in settings:
        # The manager waits the factor itself before the first retry, a connector half of it.
        settings["backoff_factor"] /= 2
    if "raise_on_status" in settings:
        settings["raise_for_status"] = settings["raise_on_status"]
    return settings


def _threshold_for(retries: Any) -> int:
    """Return how many failures open the circuit.

    Two calls of which every attempt failed: one must not be cut short by its own retries.
    """
    attempts = retries + 1 if isinstance(retries, int) else 0
    return max(DEFAULT_CIRCUIT_BREAKER_FAILURE_THRESHOLD, 2 * attempts)


def _threshold_of(session: ConnectionManager) -> Optional[int]:
    return session.core.configuration.settings.circuit_breaker_failure_threshold


def _refuse_beside_session(settings: Mapping[str, Any]) -> None:
    if settings:
        raise TypeError(
            f"{', '.join(sorted(settings))} can't be given beside session, which has settings of "
            "its own; set them on the manager that is shared"
        )


def _sharing(session: Any, settings: Mapping[str, Any]) -> ConnectionManager:
    if not isinstance(session, ConnectionManager):
        raise TypeError(f"session must be a ConnectionManager, not a {type(session).__name__}")
    return session.with_options(backoff_jitter=0, **settings)


class _LiveList(List[Any]):
    """A list among the retry settings: changing it in place changes the settings."""

    def __init__(self, values: List[Any], owner: APIConnector, name: str) -> None:
        super().__init__(values)
        self._owner = weakref.ref(owner)
        self._name = name

    def become(self, values: List[Any]) -> None:
        """Hold these values, and tell the owner unless it has another list by now."""
        owner = self._owner()
        if owner is not None and owner.__dict__.get(self._name) is self:
            owner._change({self._name: values}, within=self)
        super().__setitem__(slice(None), values)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return list, (list(self),)


def _live(change: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of ``list`` that changes it, for a list whose owner is told."""

    def changing(self: _LiveList, *args: Any, **kwargs: Any) -> Any:
        with _changing:
            changed = list(self)
            result = change(changed, *args, **kwargs)
            self.become(changed)
        return self if result is changed else result

    changing.__name__, changing.__doc__ = change.__name__, change.__doc__
    return changing


for _name in (
    *("append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse"),
    *("__setitem__", "__delitem__", "__iadd__", "__imul__"),
):
    setattr(_LiveList, _name, _live(getattr(list, _name)))


__all__ = ["APIConnector"]
