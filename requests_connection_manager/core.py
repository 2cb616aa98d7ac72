"""What a manager is made of, whatever HTTP library it stands on.

Holds :class:`Core`: the snapshot of the settings, the live registry, the events, the clock. Each
manager owns one; a sibling that differs in some settings only has a :class:`DerivedCore`. Knows no
HTTP library.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Callable, Deque, Dict, Mapping, Optional, Tuple

from ._lazy_names import lazy_function
from .call import Call
from .call_events import note_call
from .endpoints import Configuration, Policy
from .events import EventStream
from .origins import MAX_KNOWN_ORIGINS, NOWHERE, Origin, origin_of
from .plugins import HookType, PluginManager
from .policies.auth import with_credentials
from .policies.deadline import Deadline
from .redaction import redact_forms, redact_url, secret_forms
from .settings import CALL, CALL_SETTINGS, check_settings, unknown_setting
from .stats import Statistics
from .types import Clock

if TYPE_CHECKING:
    from .registry import Registry, Scope

_SNAPSHOTS_KEPT = 8

# 1 ms, which nobody has to spend who imports the package and makes no manager.
_new_registry = lazy_function(__package__, "registry", "Registry")


class SystemClock:
    """The real time."""

    # In this order: within the class body the name of the method hides the module.
    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)
    time = staticmethod(time.time)

    async def asleep(self, seconds: float) -> None:
        """Suspend the calling task for ``seconds``, on asyncio or trio."""
        import anyio

        await anyio.sleep(seconds)


class _Carried:
    """The clock of a manager within its state: copies share it, a pickle has it if it can.

    The system's own is not carried, nor is one that can't be pickled.
    """

    def __init__(self, clock: Optional[Clock]) -> None:
        self.clock = None if type(clock) is SystemClock else clock

    def __deepcopy__(self, memo: Any) -> _Carried:
        return self

    def __reduce__(self) -> Tuple[Any, ...]:
        return _Carried, (self.clock if _pickles(self.clock) else None,)


class _OnlyInThisProcess:
    """Refuses, within the state of a manager, to pickle or deepen what can't be."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration

    def __reduce__(self) -> Tuple[Any, ...]:
        known = self._configuration
        for own in (vars(known.settings), *known.endpoints.values()):
            for name in ("circuit_breaker", "rate_limiter"):
                if not _pickles(own.get(name)):
                    raise TypeError(
                        f"a manager with {name}= can't be pickled or copied deeply, because a "
                        f"{type(own[name]).__name__} can't; use copy.copy(), which shares it, or "
                        f"leave {name} out and set the numbers instead"
                    )
        return _OnlyInThisProcess, (None,)


def _pickles(value: Any) -> bool:
    import pickle

    try:
        pickle.dumps(value)
    except Exception:  # whatever the object's own methods raise
        return False
    return True


class Core:
    """Settings, live state and events of one manager.

    Thread-safe: the configuration is an immutable snapshot that is swapped under a lock; a call
    keeps the one with which it began.

    :ivar home: the only origin that gets manager-wide credentials; ``None``: that of the first
        hop of each call.
    :ivar frozen: why the configuration can't be changed; empty: it can.
    """

    def __init__(
        self,
        configuration: Configuration,
        plugins: PluginManager,
        clock: Optional[Clock],
        max_scopes: int,
    ) -> None:
        self.configuration = configuration
        self.plugins = plugins
        self.clock: Clock = SystemClock() if clock is None else clock
        self.max_scopes = max_scopes
        self.home: Optional[Origin] = None
        self.frozen = ""
        self.events = EventStream()
        self.registry: Registry = _new_registry(self.clock.monotonic, max_scopes)
        self.stats = Statistics(max_scopes)
        self.events.add(self.stats.on_event, *self.stats.event_types)
        self._lock = threading.Lock()
        self._origins: Dict[str, Origin] = {}
        # Errors may quote secrets that were exchanged meanwhile. A call in flight keeps its
        # snapshot alive, however long it takes; its error may outlive it by a moment.
        self._snapshots: weakref.WeakSet[Any] = weakref.WeakSet((configuration,))
        # Collected at first use: every URL with a query is looked through for them.
        self._secret_forms: Optional[Tuple[str, ...]] = None
        self._recent: Deque[Any] = deque((configuration,), _SNAPSHOTS_KEPT)
        self._siblings: weakref.WeakSet[DerivedCore] = weakref.WeakSet()
        self.registry.follow(configuration)
        _alive.add(self)

    @property
    def root(self) -> Core:
        """The core to which everything alive belongs: this one."""
        return self

    def configure(self, change: Callable[[Configuration], Configuration]) -> None:
        """Swap the snapshot for what ``change`` makes of it.

        :raises AttributeError: when the configuration is immutable.
        """
        if self.frozen:
            raise AttributeError(self.frozen)
        with self._lock:
            self.configuration = change(self.configuration)
            self._snapshots.add(self.configuration)
            self._secret_forms = None
            self._recent.append(self.configuration)
            self.registry.follow(self.configuration)
            for sibling in self._siblings:
                sibling.follow(self.configuration)

    def change_settings(self, checked: Mapping[str, Any]) -> None:
        """Use other values for some settings from now on."""
        self.configure(lambda known: known.replaced(settings=known.settings.merged(checked)))

    def derived(self, checked: Mapping[str, Any]) -> DerivedCore:
        """Return a core that shares everything but the given settings with this one."""
        return DerivedCore(self, checked)

    def admit_sibling(self, sibling: DerivedCore, changes: Mapping[str, Any]) -> None:
        """Let ``sibling`` follow the configuration from now on, with changes of its own."""
        with self._lock:
            self._siblings.add(sibling)
            sibling.changes = {**sibling.changes, **changes}
            sibling.follow(self.configuration)
            # Errors of its calls may quote secrets as well.
            self._snapshots.add(sibling.configuration)
            self._secret_forms = None

    def raises_for(self, call: Call, url: str, status: int) -> bool:
        """Tell whether a final response of this status is to be raised as an error."""
        if status < 400:
            return False
        if not call.configuration.raises_for_status and "raise_for_status" not in call.overrides:
            return False
        settings, _ = call.settings_for(self.policy(call, url))
        return settings.raise_for_status and status not in settings.ok_statuses

    def shown(self, url: str) -> str:
        """Return a URL for events and messages, without what a server may have echoed in it."""
        safe = redact_url(url)
        return self.redact(safe) if "?" in safe else safe

    def shown_method(self, method: str) -> str:
        """Return a method as it is; who mixes up the parameters has put a URL in its place."""
        return method if method.isalpha() else self.shown(method)

    def redact(self, text: str) -> str:
        """Return ``text`` without the credentials of the manager and its endpoints.

        Their values count, whatever name they are sent under.
        """
        forms = self._secret_forms
        if forms is None:
            with self._lock:
                secrets = {one for snapshot in self._snapshots for one in snapshot.secrets()}
                forms = self._secret_forms = secret_forms(secrets)
        return redact_forms(text, forms) if forms else text

    def note_secrets(self, holder: Any) -> None:
        """Keep the secrets of ``holder.secrets()`` out of messages for as long as it lives."""
        with self._lock:
            self._snapshots.add(holder)
            self._secret_forms = None
            self._recent.append(holder)

    def begin(self, url: str, overrides: Mapping[str, Any], began: float) -> Call:
        """Start a call.

        :param overrides: the checked settings of this call.
        :param began: when its clock started, before the hooks.
        """
        configuration = self.configuration
        first = self.home
        if first is not None and first != self.origin(url):
            # Another server must not get us to act at home in the user's name, by a redirect.
            first = NOWHERE
        call = Call(configuration, overrides, first)
        note_call(self.events, call)
        if configuration.limits_time or "total_timeout" in overrides:
            settings, _ = call.settings_for(configuration.resolve(url))
            if settings.total_timeout is not None:
                call.deadline = Deadline(settings.total_timeout, self.clock.monotonic, began)
        return call

    def scope(self, configuration: Configuration, url: str) -> Scope:
        """Return the live scope of a URL."""
        return self.registry.scope(configuration.resolve(url), self.origin(url))

    def policy(self, call: Call, url: str) -> Policy:
        """Return the policy of a URL as ``call`` sees it."""
        return call.configuration.resolve(url)

    def origin(self, url: str) -> Origin:
        """Return the origin of a URL, from memory when its text is plain and known."""
        end = url.find("/", 8)
        text = url[:end] if end > 0 else url
        known = self._origins.get(text)
        if known is not None:
            return known
        origin = origin_of(url)
        if end > 0 and not any(mark in text for mark in "@?#\\%"):
            if len(self._origins) >= MAX_KNOWN_ORIGINS:
                self._origins = {}
            self._origins[text] = origin
        return origin

    def state(self) -> Dict[str, Any]:
        """Return what is copied and pickled: configuration, hooks and clock, no live state.

        :raises TypeError: when it is pickled with an object among the settings that can't be.
        """
        configuration = self.configuration
        return {
            "only_in_this_process": _OnlyInThisProcess(configuration),
            "clock": _Carried(self.clock),
            "settings": configuration.settings,
            "credentials": configuration.declared,
            "endpoints": configuration.endpoints,
            "hooks": {kind: self.plugins.hooks(kind) for kind in HookType},
            "max_scopes": self.max_scopes,
            "home": self.home,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], plugins: PluginManager) -> Core:
        """Return a core from what :meth:`state` returned."""
        for kind, hooks in state["hooks"].items():
            for hook in hooks:
                plugins.register_hook(kind, hook)
        configuration = Configuration(state["settings"], state["credentials"], state["endpoints"])
        core = cls(configuration, plugins, state["clock"].clock, state["max_scopes"])
        core.home = state["home"]
        return core

    def renew_locks(self) -> None:
        """Replace every lock; another thread may have held one when the process forked."""
        self._lock = threading.Lock()
        for part in (self.plugins, self.events, self.stats):
            part.renew_lock()
        self.registry.renew_locks()


class DerivedCore(Core):
    """The core of a manager's sibling: other values for some settings, all else shared.

    Credentials, endpoint settings, hooks, events, breakers and limiters are the root's, and so is
    every change of them.

    :ivar changes: the settings, checked, that are the sibling's own.
    """

    def __init__(self, parent: Core, changes: Mapping[str, Any]) -> None:
        # Nothing of its own but the snapshot: what is alive has one place.
        self.__dict__.update(vars(parent.root))
        self._root = parent.root
        self.home = parent.home
        self.changes: Dict[str, Any] = dict(getattr(parent, "changes", ()))
        self._root.admit_sibling(self, changes)

    @property
    def root(self) -> Core:
        """The core to which everything alive belongs."""
        return self._root

    def follow(self, configuration: Configuration) -> None:
        """Take over a new configuration of the root."""
        own = configuration.settings.merged(self.changes)
        credentials = with_credentials(configuration.declared, self.changes)
        self.configuration = configuration.replaced(settings=own, credentials=credentials)

    def configure(self, change: Callable[[Configuration], Configuration]) -> None:
        """Change what is shared."""
        self._root.configure(change)

    def change_settings(self, checked: Mapping[str, Any]) -> None:
        """Use other values for some settings from now on, for this sibling alone."""
        if self.frozen:
            raise AttributeError(self.frozen)
        self._root.admit_sibling(self, checked)

    def note_secrets(self, holder: Any) -> None:
        """Keep the secrets of ``holder.secrets()`` out of messages for as long as it lives."""
        self._root.note_secrets(holder)

    def redact(self, text: str) -> str:
        """Return ``text`` without the credentials of the manager and its endpoints."""
        return self._root.redact(text)


_alive: weakref.WeakSet[Core] = weakref.WeakSet()


def _renew_all() -> None:
    for core in list(_alive):
        core.renew_locks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)


def take_overrides(kwargs: Dict[str, Any], known: Tuple[str, ...], where: str) -> Dict[str, Any]:
    """Split the settings of this call off ``kwargs``, checked.

    :param known: the names that the HTTP library takes.
    :raises TypeError: for a name that nobody knows, naming the nearest.
    """
    given = {name: kwargs.pop(name) for name in list(kwargs) if name in CALL_SETTINGS}
    for name in kwargs:
        if name not in known:
            raise TypeError(unknown_setting(name, (*known, *CALL_SETTINGS), where))
    return check_settings(given, CALL, where) if given else given
