"""URL patterns: which of many patterns is the most specific one for a URL.

Holds the parsing of patterns into :class:`UrlPattern`, and :class:`PatternIndex`, which finds the
best pattern without trying them all. Knows nothing of settings, credentials or HTTP libraries:
what a pattern stands for is the caller's business.

Laws:

* Only scheme, host, port and path take part. Query, fragment and userinfo never do.
* A host that two HTTP libraries could read differently (backslash, percent-encoding, a bad port)
  matches no pattern that names a host, and no regular expression.
* The most specific pattern wins, whatever the order of insertion.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Dict, Generic, List, Mapping, Optional, Tuple, TypeVar, Union

from ._frozen_dataclass import dataclass
from ._lazy_regex import lazy_regex
from .origins import (
    DEFAULT_PORTS,
    HOST_PORT,
    MAX_KNOWN_ORIGINS,
    Origin,
    normal_host,
    normal_path,
    origin_of,
    path_of,
    port_number,
)
from .redaction import redact_url

V = TypeVar("V")
PatternKey = Union[str, "re.Pattern[str]"]
"""A pattern as a user writes it."""


# Only such a prefix of a URL says the same about the origin whatever follows it.
_CACHEABLE = lazy_regex(r"[Hh][Tt][Tt][Pp][Ss]?://[A-Za-z0-9._:\[\]-]+")


def _segments(path: str) -> Tuple[str, ...]:
    return tuple(path.split("/")[1:])


def _shown(origin: Origin, path: str) -> str:
    """Return the text that regular expressions see; none of a host that is not clear."""
    if origin.host.startswith("?"):
        return ""
    port = f":{origin.port}" if origin.port != DEFAULT_PORTS.get(origin.scheme, 0) else ""
    return f"{origin.scheme}://{origin.host}{port}{path}"


# -- one pattern ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class UrlPattern:
    """One parsed pattern; made by :meth:`compile`. Immutable, hashable, safe to share.

    ============================== =================================================================
    pattern                        matches
    ============================== =================================================================
    ``api.example.com``            that host: http and https, any port, any path
    ``*.example.com``              every host below it (any depth), not ``example.com`` itself
    ``api.example.com/v1``         ``/v1`` and what is below it, but not ``/v10``
    ``https://api.example.com:8443/v1/*``  that scheme and port, what is below ``/v1``
    ``/v1/users``                  that path on any host
    ``api.example.com/*/users``    ``*`` stands for exactly one path segment
    ``re.compile(...)``            ``regex.match("scheme://host[:port]/path")``; the port is there
                                   only when it isn't the scheme's own
    ============================== =================================================================
    """

    source: PatternKey
    scheme: str = ""
    host: str = ""
    below: bool = False
    port: int = 0
    path: Tuple[str, ...] = ()
    regex: Optional[re.Pattern[str]] = None

    @staticmethod
    def compile(pattern: PatternKey) -> UrlPattern:
        r"""Parse ``pattern``.

        :raises TypeError: it is neither a ``str`` nor a compiled ``str`` regular expression.
        :raises ValueError: it cannot match a URL; the message says why and shows one that can.

        >>> UrlPattern.compile("/v1#x")
        Traceback (most recent call last):
        ValueError: URL pattern '/v1#x': the fragment is never looked at; write for example '/v1'
        """
        if isinstance(pattern, re.Pattern) and isinstance(pattern.pattern, str):
            return UrlPattern(pattern, regex=pattern)
        if not isinstance(pattern, str):
            kind = type(pattern).__name__
            raise TypeError(f"a URL pattern is a str or a compiled str regex, not {kind}")
        return _parse(pattern)

    @property
    def names_host(self) -> bool:
        r"""Whether it can match no other host than those it names (credentials need that).

        A regular expression names a host if it begins with a scheme, a host written out (dots
        escaped; ``[^/]+\.`` may stand before it) and a slash.

        >>> UrlPattern.compile("*.example.com").names_host, UrlPattern.compile("/v1").names_host
        (True, False)
        >>> UrlPattern.compile(re.compile(r"https://api\.example\.com/v\d")).names_host
        True
        """
        return bool(self.host) if self.regex is None else _regex_names_host(self.regex)

    @property
    def specificity(self) -> Tuple[object, ...]:
        """Orderable: the greater of two is the more specific pattern.

        Regular expressions come first (the longer source, then text order), then an exact host,
        the longer wildcard, any host; then the longer path (of two as long, the one with fewer
        ``*``, then the one whose ``*`` comes later); then a given port; then a given scheme.
        """
        if self.regex is not None:
            text = self.regex.pattern
            return (1, len(text), _text_order(text), self.regex.flags)
        literal = tuple(segment != "*" for segment in self.path)
        path = (len(literal), sum(literal), literal)
        host = (bool(self.host), not self.below, len(self.host) if self.below else 0)
        return (0, host, path, bool(self.port), bool(self.scheme), _text_order(str(self.source)))

    def matches(self, origin: Origin, path: str) -> bool:
        """Return whether it matches a URL given as :func:`split` returns it.

        >>> from requests_connection_manager.origins import split
        >>> UrlPattern.compile("example.com/v1").matches(*split("http://example.com/v1/users?a=b"))
        True
        >>> UrlPattern.compile("example.com").matches(*split("https://evil.test/?x=example.com"))
        False
        """
        if self.regex is not None:
            text = _shown(origin, path)
            return bool(text) and self.regex.match(text) is not None
        return self._matches_origin(origin) and self._matches_path(_segments(path))

    def _matches_origin(self, origin: Origin) -> bool:
        if origin.scheme not in DEFAULT_PORTS or self.scheme not in ("", origin.scheme):
            return False
        if self.port not in (0, origin.port):
            return False
        if self.below:
            return origin.host.endswith("." + self.host)
        return self.host in ("", origin.host)

    def _matches_path(self, segments: Tuple[str, ...]) -> bool:
        pairs = zip(self.path, segments)
        return len(self.path) <= len(segments) and all(ours in ("*", its) for ours, its in pairs)


def _text_order(text: str) -> Tuple[int, ...]:
    # Greater is more specific, and the text that sorts first shall win: hence the minus. The
    # final 1 makes a text beat its own continuations.
    return (*(-ord(char) for char in text), 1)


def _refuse(pattern: str, why: str, example: str) -> ValueError:
    shown = redact_url(pattern)  # somebody may have pasted a URL with a password in it
    return ValueError(f"URL pattern {shown!r}: {why}; write for example {example!r}")


@lru_cache(maxsize=4096)
def _parse(pattern: str) -> UrlPattern:
    _check_characters(pattern)
    scheme, separator, rest = pattern.partition("://")
    if not separator:
        scheme, rest = "", pattern
    if separator and scheme.lower() not in DEFAULT_PORTS:
        raise _refuse(pattern, "the scheme is not http or https", "https://api.example.com")
    if rest.startswith("//"):
        raise _refuse(pattern, "it begins with two slashes", "api.example.com/v1")
    authority, _, path = rest.partition("/")
    if separator and not authority:
        raise _refuse(pattern, "no host follows the scheme", "https://api.example.com/v1")
    below, host, port = _parse_authority(pattern, authority) if authority else (False, "", 0)
    return UrlPattern(pattern, scheme.lower(), host, below, port, _parse_path(pattern, path))


def _check_characters(pattern: str) -> None:
    if not pattern:
        raise _refuse(pattern, "it is empty", "api.example.com")
    if any(char.isspace() or not char.isprintable() for char in pattern):
        raise _refuse(pattern, "it contains whitespace or control characters", "api.example.com/v1")
    if "\\" in pattern:
        raise _refuse(pattern, "it contains a backslash", "api.example.com/v1")
    if "?" in pattern:
        raise _refuse(pattern, "the query is never looked at", "api.example.com/v1")
    if "#" in pattern:
        raise _refuse(pattern, "the fragment is never looked at", "/v1")


def _parse_authority(pattern: str, authority: str) -> Tuple[bool, str, int]:
    if "@" in authority:
        raise _refuse(pattern, "user names are never looked at", "api.example.com")
    below = authority.startswith("*.")
    found = HOST_PORT.fullmatch(authority[2:] if below else authority)
    if found is None:
        raise _refuse(pattern, "host or port is not valid", "api.example.com:8443")
    if "*" in found.group(1):
        raise _refuse(pattern, "'*' in a host may only be a leading '*.'", "*.example.com")
    host = normal_host(found.group(1))
    if host is None or (below and host.startswith("[")):
        raise _refuse(pattern, "the host is not valid", "api.example.com")
    if found.group(2) is not None and not port_number(found.group(2)):
        raise _refuse(pattern, "the port is not 1 to 65535", "api.example.com:8443")
    return below, host, port_number(found.group(2)) or 0


def _parse_path(pattern: str, path: str) -> Tuple[str, ...]:
    segments = _segments(normal_path("/" + path))
    if any("*" in segment and segment != "*" for segment in segments):
        raise _refuse(pattern, "'*' in a path is one whole segment", "api.example.com/*/users")
    # '/v1/' is the same prefix as '/v1'.
    return segments[:-1] if segments[-1] == "" else segments


# -- regular expressions -------------------------------------------------------------------------

_REGEX_HOST = lazy_regex(
    r"(?:\(\?i\))?\^?(?:https\?|https|http|\(\?:https?\|https?\))://"
    r"(?:\[\^/\]\+\\\.|\(\?:\[\^/\]\+\\\.\)\?)?"
    r"(?:[A-Za-z0-9-]|\\[.-]|\[\.\])+"
    r"(?::\d+|:\\d\+|\(\?::\d+\)\??|\(\?::\\d\+\)\??)?"
    r"/(?![?*{])"
)


def _regex_names_host(regex: re.Pattern[str]) -> bool:
    if regex.flags & re.VERBOSE or not _REGEX_HOST.match(regex.pattern):
        return False
    return not _has_top_level_choice(regex.pattern)


def _has_top_level_choice(source: str) -> bool:
    r"""Return whether a ``|`` of ``source`` could bypass its beginning; in doubt, True."""
    # Escapes and character classes go first. What is left of a tricky class only errs towards
    # an unbalanced or visible '|', so towards True.
    text = re.sub(r"\[\^?\]?[^\]]*\]", "", re.sub(r"\\[\s\S]", "", source))
    inner = None
    while inner != text:
        inner, text = text, re.sub(r"\([^()]*\)", "", text)
    return "|" in text or "(" in text or ")" in text


# -- many patterns -------------------------------------------------------------------------------

Entry = Tuple[PatternKey, V]
_Variant = Tuple[str, int]


class _Branch(Generic[V]):
    """The patterns of one host (or one wildcard, or of any host), by their paths.

    Patterns are added from the most specific down; as dicts keep that order, the first hit of
    :meth:`find` is the best one, and of two spellings of one pattern the first stays.
    """

    def __init__(self) -> None:
        # (length, positions of '*') -> path with its '*' -> (scheme, port) -> entry
        self._shapes: Dict[
            Tuple[int, Tuple[int, ...]],
            Dict[Tuple[str, ...], Dict[_Variant, Entry[V]]],
        ] = {}

    def add(self, pattern: UrlPattern, value: V) -> None:
        stars = tuple(i for i, segment in enumerate(pattern.path) if segment == "*")
        paths = self._shapes.setdefault((len(pattern.path), stars), {})
        variants = paths.setdefault(pattern.path, {})
        variants.setdefault((pattern.scheme, pattern.port), (pattern.source, value))

    @property
    def has_paths(self) -> bool:
        return any(length for length, _ in self._shapes)

    def find(self, variants: Tuple[_Variant, ...], segments: Tuple[str, ...]) -> Optional[Entry[V]]:
        for (length, stars), paths in self._shapes.items():
            if length > len(segments):
                continue
            given = paths.get(_starred(segments[:length], stars) if stars else segments[:length])
            if given is not None:
                for variant in variants:
                    if variant in given:
                        return given[variant]
        return None


def _starred(segments: Tuple[str, ...], stars: Tuple[int, ...]) -> Tuple[str, ...]:
    starred = list(segments)
    for place in stars:
        starred[place] = "*"
    return tuple(starred)


@dataclass(frozen=True)
class _Plan(Generic[V]):
    """What one origin still has to be compared with once the path is known."""

    origin: Origin
    variants: Tuple[_Variant, ...]
    branches: Tuple[_Branch[V], ...]

    @property
    def needs_path(self) -> bool:
        return any(branch.has_paths for branch in self.branches)

    def find(self, path: str) -> Optional[Entry[V]]:
        segments = _segments(path) if path else ()
        for branch in self.branches:
            hit = branch.find(self.variants, segments)
            if hit is not None:
                return hit
        return None


class PatternIndex(Generic[V]):
    """Immutable map from patterns to values, asked with URLs.

    The most specific pattern wins (:attr:`UrlPattern.specificity`). Cost does not depend on the
    number of patterns, only on that of host labels, of different path lengths of one host, and of
    regular expressions, which are tried one by one. Patterns that differ only in spelling
    (``Example.com``, ``example.com/``) count as one: the one that sorts first.

    Thread-safe without locks: nothing changes but a bounded cache of origins, by single dict
    operations. Building costs some microseconds per pattern, so build once for many changes.

    :param patterns: pattern (text or compiled regular expression) -> any value.

    :raises TypeError, ValueError: as :meth:`UrlPattern.compile`.

    >>> index = PatternIndex({"*.example.com": 1, "api.example.com": 2, "api.example.com/v1": 3})
    >>> index.find("https://api.example.com/v1/users?page=2")
    ('api.example.com/v1', 3)
    >>> index.find("https://www.example.com/")
    ('*.example.com', 1)
    >>> index.find("https://evil.test/?x=api.example.com") is None
    True
    """

    def __init__(
        self,
        patterns: Union[Mapping[str, V], Mapping[re.Pattern[str], V], Mapping[PatternKey, V]],
    ) -> None:
        given = [(UrlPattern.compile(key), value) for key, value in patterns.items()]
        given.sort(key=lambda pair: pair[0].specificity, reverse=True)
        self._size = len(given)
        self._regexes = tuple((p.regex, (p.source, v)) for p, v in given if p.regex is not None)
        self._branches: Dict[Tuple[bool, str], _Branch[V]] = {}
        for pattern, value in given:
            if pattern.regex is None:
                place = (pattern.below, pattern.host)
                self._branches.setdefault(place, _Branch()).add(pattern, value)
        # Text of an origin -> its answer, or the plan that finds it.
        self._known: Dict[str, Union[Entry[V], _Plan[V], None]] = {}
        self._unknown: _Plan[V] = _Plan(Origin("", "", 0), (), ())

    def __len__(self) -> int:
        """Return the number of patterns given."""
        return self._size

    def find(self, url: str) -> Optional[Entry[V]]:
        """Return ``(pattern as given, value)`` of the most specific match, or None.

        :param url: absolute http(s) URL. Anything else matches nothing; no ``str`` raises.
        """
        # An origin text is stored only if nothing before the first slash from here on can be
        # anything but the origin, so this slice can not be fooled by userinfo or a query.
        end = url.find("/", 8)
        known = self._known.get(url[:end] if end > 0 else url, self._unknown)
        return self._search(url, known) if isinstance(known, _Plan) else known

    def _search(self, url: str, known: _Plan[V]) -> Optional[Entry[V]]:
        plan = self._learn(url) if known is self._unknown else known
        path = path_of(url)
        text = _shown(plan.origin, path) if self._regexes else ""
        if text:
            for regex, entry in self._regexes:
                if regex.match(text):
                    return entry
        return plan.find(path)

    def _learn(self, url: str) -> _Plan[V]:
        origin = origin_of(url)
        plan = self._plan(origin)
        end = url.find("/", 8)
        text = url[:end] if end > 0 else url
        if _CACHEABLE.fullmatch(text):
            if len(self._known) >= MAX_KNOWN_ORIGINS:
                self._known.clear()
            constant = not self._regexes and not plan.needs_path
            self._known[text] = plan.find("") if constant else plan
        return plan

    def _plan(self, origin: Origin) -> _Plan[V]:
        scheme, host, port = origin
        variants = ((scheme, port), ("", port), (scheme, 0), ("", 0))
        places = [(False, host), *((True, suffix) for suffix in _suffixes(host)), (False, "")]
        branches: List[_Branch[V]] = []
        for place in places if scheme in DEFAULT_PORTS else ():
            branch = self._branches.get(place)
            if branch is not None:
                branches.append(branch)
                if branch.find(variants, ()) is not None:
                    break  # it matches every path: what is less specific never gets a turn
        return _Plan(origin, variants, tuple(branches))


def _suffixes(host: str) -> List[str]:
    labels = host.split(".")
    return [".".join(labels[i:]) for i in range(1, len(labels))]
