"""What requests reads from the environment, read again only when it changed.

Holds :class:`Environment`: proxies, ``no_proxy``, CA bundles and netrc. The functions that read
are requests' own; re-reading and re-parsing for every request costs it a quarter of its time.
Each answer is remembered together with a fingerprint of what it depends on, so a change of a
variable or of the netrc file takes effect at once: one edited in place, replaced by another,
deleted or created, and also a second edit at the same moment with the same length, because a
file is remembered only when it is some seconds old. What can't be seen is an edit that leaves the
times and the length as they were, by setting back the system's clock.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Dict, Mapping, Optional, Tuple

import requests.sessions
import requests.utils
from requests.utils import NETRC_FILES

from .origins import MAX_KNOWN_ORIGINS

_MAX_HOSTS = MAX_KNOWN_ORIGINS

# Longer than a tick of any file system's clock, in nanoseconds.
_TICK = 3 * 10**9

# By this name: whoever patches requests there (it is where Session looks) is heeded.
_sessions: Any = requests.sessions

# Elsewhere proxies also come from the registry or the system configuration.
_ENVIRONMENT_IS_ALL = sys.platform.startswith("linux")

_NOTHING: Dict[str, str] = {}


def _variables() -> Mapping[Any, Any]:
    """Return the raw table behind ``os.environ``: comparing it decodes nothing."""
    data: Mapping[Any, Any] = getattr(os.environ, "_data", os.environ)
    return data


class Environment:
    """The environment as requests sees it.

    Thread-safe: the memory is one object that is replaced when the environment changed.
    """

    def __init__(self) -> None:
        self._memory = _Memory()

    def _current(self) -> _Memory:
        memory = self._memory
        if not memory.valid():
            memory = self._memory = _Memory()
        return memory

    def proxies_and_bundle(
        self, url: str, no_proxy: Optional[str]
    ) -> Tuple[Mapping[str, str], Optional[str]]:
        """Return what ``requests.utils.get_environ_proxies`` returns, and the CA bundle.

        The mapping is not to be changed.
        """
        memory = self._current()
        if _ENVIRONMENT_IS_ALL:
            return memory.proxies(url, no_proxy), memory.bundle
        found: Mapping[str, str] = _sessions.get_environ_proxies(url, no_proxy=no_proxy)
        return found, memory.bundle

    def netrc_auth(self, url: str) -> Optional[Tuple[str, str]]:
        """Return what ``requests.utils.get_netrc_auth`` returns."""
        return self._current().netrc_auth(url)


class _Memory:
    """Answers that hold as long as the environment is what it was."""

    def __init__(self) -> None:
        self._variables = dict(_variables())
        self._proxies_function = _sessions.get_environ_proxies
        self._netrc_function = _sessions.get_netrc_auth
        self.bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        self._proxies: Dict[Tuple[str, Optional[str]], Mapping[str, str]] = {}
        named = os.environ.get("NETRC")
        self._netrc_paths = tuple(
            os.path.expanduser(path)
            for path in ([named] if named is not None else [f"~/{name}" for name in NETRC_FILES])
        )
        self._netrc_state: Any = None
        self._netrc: Dict[str, Optional[Tuple[str, str]]] = {}

    def valid(self) -> bool:
        return (
            self._variables == _variables()
            and self._proxies_function is _sessions.get_environ_proxies
            and self._netrc_function is _sessions.get_netrc_auth
        )

    def proxies(self, url: str, no_proxy: Optional[str]) -> Mapping[str, str]:
        if self._proxies_function is not requests.utils.get_environ_proxies:
            return self._proxies_function(url, no_proxy=no_proxy) or _NOTHING
        key = (_host_part(url), no_proxy)
        known = self._proxies.get(key)
        if known is None:
            if len(self._proxies) >= _MAX_HOSTS:
                self._proxies = {}
            known = self._proxies_function(url, no_proxy=no_proxy) or _NOTHING
            self._proxies[key] = known
        return known

    def netrc_auth(self, url: str) -> Optional[Tuple[str, str]]:
        if self._netrc_function is not requests.utils.get_netrc_auth:
            theirs: Optional[Tuple[str, str]] = self._netrc_function(url)
            return theirs  # somebody's own function, which need not look at files
        state = tuple(map(_file_state, self._netrc_paths))
        if not any(state):
            return None
        if state != self._netrc_state or len(self._netrc) >= _MAX_HOSTS:
            if not _is_settled(state):
                return self._netrc_function(url)  # and remember nothing yet
            # In this order: another thread that finds the new state is to find nothing older.
            self._netrc, self._netrc_state = {}, state
        known, host = self._netrc, _host_part(url)
        if host not in known:
            known[host] = self._netrc_function(url)
        return known[host]


def _host_part(url: str) -> str:
    """Return the URL up to its path: all that proxies and netrc depend on."""
    for mark in "/?#":
        end = url.find(mark, 8)
        if end > 0:
            url = url[:end]
    return url


_AS_OPEN_DOES = os.access in os.supports_effective_ids


def _file_state(path: str) -> Optional[Tuple[int, int, int, int]]:
    # Most have none, and to say so takes half the time of an OSError: 3 µs a request.
    if not os.access(path, os.F_OK, effective_ids=_AS_OPEN_DOES):
        return None
    try:
        found = os.stat(path)
    except OSError:
        return None
    # What is edited in place and dated back still has another ctime.
    return found.st_ctime_ns, found.st_mtime_ns, found.st_size, found.st_ino


def _is_settled(state: Tuple[Any, ...]) -> bool:
    """Tell whether any change from now on will show in the state of the files.

    Two edits within one tick of the file system's clock may look alike.
    """
    latest: int = max(max(times[:2]) for times in state if times)
    return time.time_ns() - latest > _TICK
