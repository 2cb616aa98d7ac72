"""What makes a REST client of a client with the pipeline, for both of httpx's.

Holds :class:`RestCalls`: a base URL that keeps its credentials at home, an immutable configuration,
versions, serialization, and answers as values. Knows httpx through ``transport`` only; sends
nothing itself.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Dict, FrozenSet, Mapping, Optional, Tuple, TypeVar, Union

from .._httpx_building import parsed, text_of
from .._httpx_calls import HttpxCalls
from .._httpx_hop import CALL
from ..base_url import check_base_url
from ..call import Call
from ..origins import NOWHERE, Origin, origin_of
from ..plugins import PluginManager, RequestContext
from ..policies.auth import AUTH_FIELDS, AUTHORIZATION, basic_header
from ..redaction import redact_url
from ..redirects import sensitive_names
from ..settings import MANAGER, SIBLING_SETTINGS, UNSET, check_settings
from ..transport import USE_CLIENT_DEFAULT, UseClientDefault, hx
from .answers import value_of
from .bodies import Body, encode_body
from .given import (
    GivenSecrets,
    changed_headers,
    check_headers,
    check_plain,
    check_url,
    params_from,
    quiet,
    sets_authorization,
    with_defaults,
    with_user_agent,
)
from .home_cookies import HomeCookies
from .immutable import CONFIGURATION, IMMUTABLE, FrozenHeaders
from .options import CLIENT_OPTIONS, CREDENTIALS, SIBLING_OPTIONS, refuse_unknown
from .serialization import Serializer, check_serializer, default_serializer
from .uploads import check_upload_progress
from .versions import ApiVersions, Version

C = TypeVar("C", bound="RestCalls")

_NO_BODY = Body()

_CREDENTIAL_HEADERS = ("authorization", "proxy-authorization", "cookie")

_CALL_CREDENTIALS = ("api_key", "bearer_token", "basic_auth")


class RestCalls(HttpxCalls):
    """The calls of a REST client.

    :ivar serializer: what makes a body of ``json=``.
    """

    serializer: Serializer
    _cookies: HomeCookies
    _asynchronous: bool
    _versions: ApiVersions
    _request_names = (*HttpxCalls._request_names, "api_version", "upload_progress")

    def _set_up(self, base_url: Any, options: Dict[str, Any], plugins: PluginManager) -> None:
        """Do what the constructors have in common."""
        refuse_unknown(options, CLIENT_OPTIONS, type(self).__name__)
        base_url = _checked(base_url)
        check_plain(options)
        given = with_defaults(options)
        self.serializer = check_serializer(given.pop("serializer", None) or default_serializer())
        self._versioning = given.pop("versioning", None), given.pop("api_versions", None)
        self._versions = self._versions_from(given.pop("api_version", None))
        headers = with_user_agent(given.pop("headers", None), given.pop("user_agent", None))
        given.update(base_url=base_url, headers=headers, params=params_from(given.get("params")))
        self._construct(given, plugins)
        self._own_secrets: Tuple[GivenSecrets, ...] = ()
        self._hide(given)
        # As it was given: httpx appends a slash.
        self._base = base_url
        self._home = self._core.home = origin_of(base_url)
        self._cookies = HomeCookies(self._home, self._cookies.jar)
        self._freeze()

    def _hide(self, given: Mapping[str, Any]) -> None:
        """Keep secrets that the core doesn't know by name out of messages."""
        headers = hx.Headers(given.get("headers")).multi_items()
        holder = GivenSecrets({"headers": headers, "auth": given.get("auth")})
        if holder.secrets():
            self.__dict__["_own_secrets"] = (*self._own_secrets, holder)
            self._core.note_secrets(holder)

    def _versions_from(self, api_version: Optional[Version]) -> ApiVersions:
        versioning, known = self._versioning
        return ApiVersions(versioning, api_version, known)

    def _freeze(self) -> None:
        self._headers = FrozenHeaders(self._headers)
        hooks = {name: tuple(some) for name, some in self._event_hooks.items()}
        self._event_hooks: Any = MappingProxyType(hooks)
        self._core.frozen = IMMUTABLE

    @property
    def cookies(self) -> hx.Cookies:
        """The cookies, which are state: they may be changed. Those without a domain stay home."""
        return self._cookies

    @cookies.setter
    def cookies(self, cookies: Any) -> None:
        self._cookies = HomeCookies(self._home, cookies)

    @property  # type: ignore[misc]  # without a setter: immutable
    def timeout(self) -> hx.Timeout:
        """The timeouts; a copy, since they can be changed."""
        return hx.Timeout(self._timeout)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in CONFIGURATION and "_home" in self.__dict__:
            raise AttributeError(f"can't set {name}: {IMMUTABLE}")
        super().__setattr__(name, value)

    def _change_tls(self, **changes: Any) -> None:
        raise AttributeError(IMMUTABLE)

    def _change_settings(self, given: Dict[str, Any]) -> None:
        raise AttributeError(IMMUTABLE)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={redact_url(self._base)!r})"

    # -- siblings

    def _with_options(self: C, options: Dict[str, Any]) -> C:
        """Return a sibling that differs in some options and shares everything that is alive."""
        refuse_unknown(options, SIBLING_OPTIONS, "with_options")
        check_plain(options)
        given = quiet(options)
        changes = {
            **check_settings(_only(given, SIBLING_SETTINGS - {"timeout"}), "call", "with_options"),
            **check_settings(_only(given, CREDENTIALS | {"timeout"}), MANAGER, "with_options"),
        }
        base_url = _checked(given.get("base_url", self._base))
        leaving = origin_of(base_url) != self._home
        if leaving:
            changes = {**dict.fromkeys(AUTH_FIELDS), **changes}
        sibling = self._sibling(changes)
        own = sibling.__dict__
        if "base_url" in given:
            own["_base"] = base_url
            own["_base_url"] = self._enforce_trailing_slash(hx.URL(base_url))
        if leaving:
            sibling._move(origin_of(base_url))
        if not {"headers", "user_agent", "auth", *AUTHORIZATION}.isdisjoint(given):
            own["_headers"] = FrozenHeaders(changed_headers(sibling._headers, given))
        if not {"auth", *AUTH_FIELDS}.isdisjoint(given):
            # Somebody else calls, whom a cookie of the first one's session would pass off as them.
            own["_cookies"] = HomeCookies(sibling._home)
        if "params" in given:
            own["_params"] = sibling._params.merge(params_from(given["params"]))
        if "auth" in given or sets_authorization(given):
            own["_auth"] = self._build_auth(given.get("auth"))
        for name in ("follow_redirects", "serializer"):
            if name in given:
                own[name] = given[name]
        if "api_version" in given:
            own["_versions"] = self._versions_from(given["api_version"])
        check_serializer(sibling.serializer)
        sibling._hide(given)
        return sibling

    def _move(self, home: Origin) -> None:
        """Belong to another origin from now on, which gets nothing that was meant for the first."""
        own = self.__dict__
        own["_home"] = self._core.home = home
        own["_cookies"] = self._cookies.at(home)
        own["_auth"], own["_params"] = None, hx.QueryParams()
        secret = {*sensitive_names(self._headers, self._core.configuration), *_CREDENTIAL_HEADERS}
        kept = [pair for pair in self._headers.multi_items() if pair[0] not in secret]
        own["_headers"] = FrozenHeaders(kept)

    # -- the request

    def build_request(
        self,
        method: str,
        url: Union[hx.URL, str],
        *,
        content: Any = None,
        data: Any = None,
        files: Any = None,
        json: Any = None,
        params: Any = None,
        headers: Any = None,
        cookies: Any = None,
        timeout: Any = USE_CLIENT_DEFAULT,
        extensions: Any = None,
        api_version: Optional[Version] = UNSET,
        upload_progress: Any = None,
    ) -> hx.Request:
        """Return a request as this client would send it; see ``httpx.Client.build_request``.

        :param url: a path below the base URL, or an absolute URL. What is not at the origin of the
            base URL gets none of the client's credentials, cookies and default parameters.
        :param json: a value for the client's serializer.
        :param params: added to those of the URL and the client's, and in place of those of the same
            name; ``None`` values are left out.
        :param api_version: of this request; ``None``: none.
        :param upload_progress: called with the progress of the body.
        :raises ValueError: for a ``..`` segment, a relative URL that is none, an unknown version.
        :raises ValidationError: for a ``json`` that can't be serialized.
        """
        check_url(url)
        change = self._versions.change(self._base, str(url), api_version)
        target = parsed(change.join(self._base, str(url)))
        abroad = self._core.origin(text_of(target)) != self._home
        own = check_headers(hx.Headers(headers))
        body = _NO_BODY
        if not (content is data is files is json is None):
            body = encode_body(
                content,
                data,
                files,
                json,
                serializer=self.serializer,
                asynchronous=self._asynchronous,
                headers=own,
                json_type=change.json_type,
                progress=check_upload_progress(upload_progress),
            )
        merged = own
        if change.headers or body.headers:
            merged = hx.Headers({**change.headers, **body.headers})
            merged.update(own)
        request = super().build_request(
            method,
            self._with_params(target, params, change.params, abroad),
            content=body.content,
            headers=merged,
            cookies=cookies,
            timeout=timeout,
            extensions=extensions,
        )
        body.attach(request)
        if abroad:
            self._leave_secrets_at_home(request, own)
        if "cookie" not in own:
            self._leave_cookies_at_home(request, cookies, abroad and "cookie" in self._headers)
        return request

    def _with_params(
        self, url: hx.URL, params: Any, of_version: Mapping[str, str], abroad: bool
    ) -> hx.URL:
        """Return the URL with the parameters of all levels; untouched, where there are none."""
        if not params and not of_version and (abroad or not self._params):
            return url
        asked = url.params
        for name, value in self._params.merge(of_version).multi_items() if not abroad else ():
            if name not in url.params:
                asked = asked.add(name, value)
        # Of a name that is there already, the call's own values are meant.
        asked = asked.merge(params_from(params))
        return url if asked == url.params else url.copy_with(params=asked)

    def _merge_url(self, url: Union[hx.URL, str]) -> hx.URL:
        if isinstance(url, hx.URL) and url.is_absolute_url:
            return url
        change = self._versions.change(self._base, str(url))
        return parsed(change.join(self._base, str(url)))

    def _merge_queryparams(self, params: Any = None) -> Any:
        return params

    def _leave_secrets_at_home(self, request: hx.Request, own: hx.Headers) -> None:
        """Take those headers off that are secrets of the client, for a foreign server."""
        secret = sensitive_names(request.headers, self._core.configuration)
        for name in (*secret, "authorization", "proxy-authorization"):
            if name in request.headers and name not in own:
                del request.headers[name]

    def _leave_cookies_at_home(
        self, request: hx.Request, own: Any, anew: bool, origin: Optional[Origin] = None
    ) -> None:
        """Take those cookies off that belong to another origin.

        :param own: the cookies of the call.
        :param anew: whatever the header has is not to be sent.
        :param origin: whose cookies may be sent; ``None``: those of the URL's.
        """
        if origin is None:
            origin = self._core.origin(text_of(request.url))
        if anew or self._cookies.strange_to(origin):
            request.headers.pop("Cookie", None)
            cookies = self._cookies.for_origin(origin)
            cookies.update(own)
            cookies.set_cookie_header(request)

    def _leave_home(self, request: hx.Request, before: hx.Headers) -> None:
        same = {name for name, value in before.items() if request.headers.get(name) == value}
        own = hx.Headers([pair for pair in request.headers.multi_items() if pair[0] not in same])
        self._leave_secrets_at_home(request, own)
        if "cookie" not in own:
            self._leave_cookies_at_home(request, None, True)

    def _build_redirect_request(self, request: hx.Request, response: hx.Response) -> hx.Request:
        redirected = super()._build_redirect_request(request, response)
        call: Optional[Call] = redirected.extensions.get(CALL)
        strayed = call is not None and call.first_origin == NOWHERE
        self._leave_cookies_at_home(redirected, None, strayed, NOWHERE if strayed else None)
        return redirected

    # -- the credentials of a call

    def _request_options(self, context: RequestContext) -> Dict[str, Any]:
        """Make headers and parameters of the credentials that are given with a call."""
        given = quiet(context.kwargs)
        credentials = {name: given.pop(name) for name in _CALL_CREDENTIALS if name in given}
        credentials = {name: one for name, one in credentials.items() if one is not None}
        if not credentials:
            return given
        checked = check_settings(credentials, MANAGER, "request")
        headers, params = hx.Headers(given.get("headers")), {}
        _refuse_two(checked, headers, given.get("auth"))
        if "bearer_token" in checked:
            headers["Authorization"] = f"Bearer {checked['bearer_token']}"
        if "basic_auth" in checked:
            headers["Authorization"] = basic_header(*checked["basic_auth"])
        if "api_key" in checked:
            params = self._api_key(checked["api_key"], headers)
        # The context of the call outlives all messages about it.
        context.__dict__["secrets"] = secrets = GivenSecrets(checked)
        self._core.note_secrets(secrets)
        if params:
            given["params"] = hx.QueryParams(params_from(given.get("params"))).merge(params)
        return {**given, "headers": headers}

    def _send_options(self, given: Dict[str, Any]) -> Dict[str, Any]:
        return quiet(given)

    def _api_key(self, key: str, headers: hx.Headers) -> Dict[str, str]:
        """Put an API key where the client sends its own: into a header, or a parameter."""
        declared = self._core.configuration.declared
        name = declared.get("api_key_query")
        if name is not None:
            return {name if isinstance(name, str) else name[0]: key}
        headers[declared.get("api_key_header", "X-API-Key")] = key
        return {}

    def _explicit_names(self, options: Mapping[str, Any], auth: Any) -> FrozenSet[str]:
        names = super()._explicit_names(options, auth)
        params = options.get("params")
        if not params:
            return names
        return names | {f"?{name}" for name in hx.QueryParams(params_from(params))}

    def _leave_out_credentials(self, call: Call, request: hx.Request, headers: Any) -> None:
        """Follow ``auth=None``: nothing that says who is calling."""
        call.anonymous = True
        # httpx makes Basic authentication of it, whatever auth says.
        if request.url.userinfo:
            request.url = request.url.copy_with(username="", password="")
        self._leave_secrets_at_home(request, hx.Headers(headers))

    # -- the answer

    async def _fetch(self, method: str, url: Any, options: Dict[str, Any]) -> Any:
        """Send a request and return its response, or what is asked of it."""
        model, key = options.pop("model", UNSET), options.pop("response_key", None)
        if model is UNSET and key is None:
            return await self._call(method, url, False, options)
        response = await self._call(method, url, False, options)
        # A fallback may be anything.
        if not isinstance(response, hx.Response):
            return response
        return value_of(response, model, key, self.serializer, self._core.redact)


def _checked(base_url: Any) -> str:
    return check_base_url(str(base_url) if isinstance(base_url, hx.URL) else base_url)


def _refuse_two(credentials: Mapping[str, Any], headers: hx.Headers, auth: Any) -> None:
    """Refuse two sources for the Authorization header of one call."""
    sources = [name for name in AUTHORIZATION if name in credentials]
    if "authorization" in headers:
        sources.append("headers")
    if auth is not None and not isinstance(auth, UseClientDefault):
        sources.append("auth")
    # What is only httpx's own, it settles itself.
    if len(sources) > 1 and sources[0] in credentials:
        raise ValueError(
            f"{sources[0]} and {sources[1]} both set the Authorization header of this call; "
            "give one of them"
        )


def _only(given: Mapping[str, Any], names: Any) -> Dict[str, Any]:
    return {name: one for name, one in given.items() if name in names}


__all__ = ["RestCalls"]
