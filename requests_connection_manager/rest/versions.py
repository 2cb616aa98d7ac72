"""Which version of an API a request asks for, and how it says so.

Holds :class:`Versioning` with its four forms (header, query, path, media type) and
:class:`ApiVersions`, the versions of one client. They only answer what to change of a request; they
know no HTTP library and send nothing.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, Mapping, Optional, Protocol, Tuple, Union
from urllib.parse import parse_qsl, urlsplit

from ..base_url import join
from ..origins import origin_of
from ..settings import UNSET

Version = Union[str, int]

_PLACE = "{version}"
_ABSOLUTE = re.compile(r"https?://", re.IGNORECASE)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")  # of a header or a parameter, in ASCII
_SEGMENT = re.compile(r"[0-9A-Za-z._~-]+")  # the unreserved characters of RFC 3986
_PATH = re.compile(rf"{_SEGMENT.pattern}(?:/{_SEGMENT.pattern})*")
_MEDIA_TYPE = re.compile(rf"{_TOKEN.pattern}/{_TOKEN.pattern}(?: *;[ -~]*)?")
_JSON = re.compile(r"[^/;]+/(?:[^;]+\+)?json\s*(?:;.*)?", re.IGNORECASE)


@dataclass(frozen=True)
class VersionChange:
    """What a version changes of a request.

    :ivar path: what comes between the path of the base URL and that of the request, without
        slashes around it; empty for nothing.
    :ivar headers: added, in place of those of the client, unless the call gives them itself.
    :ivar params: added to the query, unless the call or its URL has them.
    :ivar json_type: the ``Content-Type`` of a JSON body; ``None``: the usual one.
    """

    path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    json_type: Optional[str] = None

    def join(self, base_url: str, url: str) -> str:
        """Return the whole URL of a request, with the version's part of the path.

        An absolute URL stays as it is: like the link to a next page, it names its version itself.

        :raises ValueError: for a ``..`` segment, which would leave the base.

        >>> VersionChange("v2").join("https://api.test/shop/", "/users?page=2")
        'https://api.test/shop/v2/users?page=2'
        >>> VersionChange("v2").join("https://api.test/shop/", "https://api.test/shop/v1/users")
        'https://api.test/shop/v1/users'
        """
        return join(join(base_url, self.path) if self.path else base_url, url)

    def params_for(self, url: str, given: Iterable[str] = ()) -> Dict[str, str]:
        """Return the parameters to add to a URL: those that neither it nor the call has.

        :param given: the names of the call's own parameters.

        >>> change = VersionChange(params={"api-version": "2"})
        >>> change.params_for("/users"), change.params_for("/users?api-version=1")
        ({'api-version': '2'}, {})
        """
        names = {*given, *(name for name, _ in parse_qsl(urlsplit(url).query, True))}
        return {name: value for name, value in self.params.items() if name not in names}


NO_CHANGE = VersionChange()


class Versioning(Protocol):
    """How a request names the version of the API; any object with this method is one."""

    def change(self, version: str, /) -> VersionChange:
        """Return what a version changes of a request. Pure: it may be called from any thread.

        :raises ValueError: for a version that can't be said in this way.
        """


def _check_template(template: Any, pattern: re.Pattern[str], wanted: str) -> None:
    if not isinstance(template, str):
        raise TypeError(f"template must be a str, not {template!r}")
    if template.count(_PLACE) != 1 or not pattern.fullmatch(template.replace(_PLACE, "1")):
        raise ValueError(f"template must be {wanted} with one {_PLACE}, not {template!r}")


def _filled(template: str, version: str, pattern: re.Pattern[str], where: str) -> str:
    if not pattern.fullmatch(version):
        raise ValueError(f"api_version {version!r} can't stand in {where}")
    return template.replace(_PLACE, version)


@dataclass(frozen=True)
class HeaderVersion:
    """The version in a header of its own.

    :param name: of the header.
    :param template: its value, with ``{version}`` in it.
    :raises TypeError: if one is no ``str``.
    :raises ValueError: if ``name`` can't be the name of a header, or ``template`` its value.

    >>> HeaderVersion("X-API-Version").change("2024-01").headers
    {'X-API-Version': '2024-01'}
    """

    name: str
    template: str = _PLACE

    def __post_init__(self) -> None:
        _check_name(self.name, "a header")
        if not _TOKEN.fullmatch(self.name):
            raise ValueError(f"name must be that of a header, not {self.name!r}")
        _check_template(self.template, _VALUE, "the value of a header")

    def change(self, version: str) -> VersionChange:
        """Return the header.

        :raises ValueError: for a version that is more than visible ASCII.
        """
        return VersionChange(
            headers={self.name: _filled(self.template, version, _VALUE, "a header")}
        )


@dataclass(frozen=True)
class QueryVersion:
    """The version in a parameter of the query.

    :param name: of the parameter.
    :raises TypeError: if it is no ``str``.
    :raises ValueError: if it is empty.

    >>> QueryVersion("api-version").change("2024-01").params
    {'api-version': '2024-01'}
    """

    name: str

    def __post_init__(self) -> None:
        _check_name(self.name, "a parameter")

    def change(self, version: str) -> VersionChange:
        """Return the parameter.

        :raises ValueError: for a version that is more than visible ASCII.
        """
        return VersionChange(params={self.name: _filled(_PLACE, version, _VALUE, "a query")})


@dataclass(frozen=True)
class PathVersion:
    """The version in the path, between that of the base URL and that of the request.

    :param template: with ``{version}`` in it: one or more segments of letters, digits and
        ``. _ ~ -``.
    :raises TypeError: if it is no ``str``.
    :raises ValueError: if it is no such path.

    >>> PathVersion("v{version}").change("2").path
    'v2'
    >>> PathVersion().change("2/../../admin")
    Traceback (most recent call last):
    ...
    ValueError: api_version '2/../../admin' can't stand in a path
    """

    template: str = "v{version}"

    def __post_init__(self) -> None:
        _check_template(self.template, _PATH, "a path such as 'v{version}'")

    def change(self, version: str) -> VersionChange:
        """Return the part of the path.

        :raises ValueError: for a version with other characters, or one that makes a ``..``.
        """
        path = _filled(self.template, version, _SEGMENT, "a path")
        if not {".", ".."}.isdisjoint(path.split("/")):
            raise ValueError(f"api_version {version!r} can't stand in a path")
        return VersionChange(path=path)


@dataclass(frozen=True)
class MediaTypeVersion:
    """The version in the media type: in ``Accept``, and in the ``Content-Type`` of JSON bodies.

    :param template: with ``{version}`` in it. If it is no type of JSON, it is used for ``Accept``
        only.
    :param content_type: ``False``: for ``Accept`` only in any case.
    :raises TypeError: for a wrong type.
    :raises ValueError: if ``template`` is no media type.

    >>> change = MediaTypeVersion("application/vnd.acme.v{version}+json").change("3")
    >>> change.headers, change.json_type
    ({'Accept': 'application/vnd.acme.v3+json'}, 'application/vnd.acme.v3+json')
    """

    template: str
    content_type: bool = True

    def __post_init__(self) -> None:
        wanted = "a media type such as 'application/vnd.acme.v{version}+json'"
        _check_template(self.template, _MEDIA_TYPE, wanted)
        if not isinstance(self.content_type, bool):
            raise TypeError(f"content_type must be True or False, not {self.content_type!r}")

    def change(self, version: str) -> VersionChange:
        """Return the headers.

        :raises ValueError: for a version that has more than the characters of a token.
        """
        media = _filled(self.template, version, _TOKEN, "a media type")
        is_json = self.content_type and _JSON.fullmatch(media)
        return VersionChange(headers={"Accept": media}, json_type=media if is_json else None)


def _check_name(name: Any, what: str) -> None:
    if not isinstance(name, str):
        raise TypeError(f"name must be that of {what}, not {name!r}")
    if not name.strip():
        raise ValueError(f"name must be that of {what}, not empty")


class ApiVersions:
    """The version that the requests of one client ask for. Immutable.

    :param versioning: how a request says it; ``None``: it doesn't.
    :param api_version: the version, unless a call names one; ``None``: none. A ``str``, or an
        ``int``; not a ``float``, for which 1.10 is 1.1.
    :param api_versions: those that there are; ``None``: any.
    :raises TypeError: for a wrong type.
    :raises ValueError: for a version that is not among ``api_versions`` or can't be said, or one
        without ``versioning``.

    >>> versions = ApiVersions(PathVersion(), "1", api_versions=("1", "2"))
    >>> versions.change("https://api.test", "/users").path
    'v1'
    >>> versions.change("https://api.test", "/users", 2).path
    'v2'
    >>> versions.change("https://api.test", "/users", "v2")
    Traceback (most recent call last):
    ...
    ValueError: unknown api_version 'v2'; did you mean '2'? Known: 1, 2
    """

    def __init__(
        self,
        versioning: Optional[Versioning] = None,
        api_version: Optional[Version] = None,
        api_versions: Optional[Iterable[Version]] = None,
    ) -> None:
        if versioning is not None and not callable(getattr(versioning, "change", None)):
            raise TypeError(
                f"versioning must be one such as HeaderVersion('X-API-Version'), not {versioning!r}"
            )
        if isinstance(versioning, type):
            raise TypeError(f"versioning must be an object, not the class {versioning.__name__}")
        self._versioning = versioning
        self._known = None if api_versions is None else _known(api_versions)
        if versioning is not None:
            for version in self._known or ():
                versioning.change(version)
        self._default = self._checked(api_version)

    def change(
        self, base_url: str, url: str, api_version: Optional[Version] = UNSET
    ) -> VersionChange:
        """Return what the version changes of a request.

        :param url: of the request. An absolute one that leads to another origin than the base URL
            is none of this API: nothing changes.
        :param api_version: that of the call; ``None``: none; left out: the client's.
        :raises TypeError: for a wrong type.
        :raises ValueError: for a version that is unknown or can't be said.
        """
        change = self._default if api_version is UNSET else self._checked(api_version)
        if change is NO_CHANGE:
            return change
        if _ABSOLUTE.match(url) and origin_of(url) != origin_of(base_url):
            return NO_CHANGE
        return change

    def _checked(self, api_version: Any) -> VersionChange:
        if api_version is None:
            return NO_CHANGE
        version = _text(api_version, "api_version")
        if self._versioning is None:
            raise ValueError(
                f"api_version {version!r} needs to know how it is said: give the client"
                " versioning=, such as HeaderVersion('X-API-Version')"
            )
        if self._known is not None and version not in self._known:
            near = difflib.get_close_matches(version, self._known, 1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            known = ", ".join(self._known)
            raise ValueError(f"unknown api_version {version!r}{hint} Known: {known}")
        return self._versioning.change(version)


def _known(versions: Any) -> Tuple[str, ...]:
    if isinstance(versions, (str, bytes)) or not isinstance(versions, Iterable):
        raise TypeError(f"api_versions must be versions such as ('1', '2'), not {versions!r}")
    known = tuple(_text(version, "api_versions") for version in versions)
    if not known:
        raise ValueError("api_versions must name at least one version; None allows any")
    return known


def _text(version: Any, name: str) -> str:
    if isinstance(version, bool) or not isinstance(version, (str, int)):
        raise TypeError(f"{name} must be a str such as '2024-01' or an int, not {version!r}")
    text = str(version)
    if not text:
        raise ValueError(f"{name} must not be empty; None sends none")
    return text


__all__ = [
    "NO_CHANGE",
    "ApiVersions",
    "HeaderVersion",
    "MediaTypeVersion",
    "PathVersion",
    "QueryVersion",
    "VersionChange",
    "Versioning",
]
