"""Hooks: what users run around a call.

Holds :class:`HookType`, the three contexts and :class:`PluginManager`. Knows no HTTP library and
no settings; it runs hooks in the order in which they were registered and lets their exceptions
through.
"""

from __future__ import annotations

import functools
import threading
from enum import Enum
from types import FunctionType
from typing import Any, Awaitable, Callable, Dict, List, Tuple

Hook = Callable[..., Any]

_IS_COROUTINE = 0x80  # inspect.CO_COROUTINE


class HookType(Enum):
    """The kinds of hooks."""

    PRE_REQUEST = "pre_request"
    POST_RESPONSE = "post_response"
    ERROR_HANDLER = "error_handler"


class RequestContext:
    """What a pre-request hook sees, and may change.

    :ivar method: HTTP method.
    :ivar url: request URL.
    :ivar kwargs: request parameters; edits take effect, per-call settings included.

    >>> RequestContext("GET", "https://api.test/", timeout=5).kwargs
    {'timeout': 5}
    """

    __slots__ = ("__dict__", "kwargs", "method", "url")

    def __init__(self, method: str, url: str, **kwargs: Any) -> None:
        self.method = method
        self.url = url
        self.kwargs = kwargs


class ResponseContext:
    """What a post-response hook sees.

    :ivar response: the response; assign another one to return that instead.
    :ivar request_context: the :class:`RequestContext` of the call.
    """

    def __init__(self, response: Any, request_context: RequestContext) -> None:
        self.response = response
        self.request_context = request_context


class ErrorContext:
    """What an error hook sees.

    :ivar exception: the exception that occurred.
    :ivar request_context: the :class:`RequestContext` of the call.
    :ivar handled: set it to ``True``, together with ``fallback_response``, to return that
        instead of raising.
    :ivar fallback_response: the response to return; one with a 4xx or 5xx status is fine.
    """

    def __init__(self, exception: Exception, request_context: RequestContext) -> None:
        self.exception = exception
        self.request_context = request_context
        self.handled = False
        self.fallback_response: Any = None

    @property
    def resolved(self) -> bool:
        """Whether a hook has provided what to return."""
        # Not truth: requests calls a 4xx or 5xx response false.
        return self.handled and self.fallback_response is not None


def is_coroutine_hook(hook: Hook) -> bool:
    """Tell whether calling ``hook`` gives a coroutine.

    >>> async def hook(context): ...
    >>> is_coroutine_hook(hook), is_coroutine_hook(print)
    (True, False)
    """
    function = getattr(hook, "__func__", hook)
    if type(function) is FunctionType and not vars(function):
        # Nearly all: whatever else there is takes importing inspect to tell, 3 ms.
        return bool(function.__code__.co_flags & _IS_COROUTINE)
    import inspect

    while isinstance(hook, functools.partial):
        hook = hook.func
    return inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(
        getattr(hook, "__call__", None)  # noqa: B004  # the method itself is what is inspected
    )


class PluginManager:
    """Keeps hooks and runs them.

    Thread-safe: the hooks of a kind are an immutable tuple that is swapped, so a call in flight
    runs the hooks with which it began. Coroutine hooks are refused at registration.

    >>> hooks, seen = PluginManager(), []
    >>> hooks.register_hook(HookType.PRE_REQUEST, lambda context: seen.append(context.url))
    >>> hooks.execute_pre_request_hooks(RequestContext("GET", "https://api.test/"))
    >>> seen
    ['https://api.test/']
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # By name: hashing an enum member runs Python code.
        self._hooks: Dict[str, Tuple[Hook, ...]] = {kind.value: () for kind in HookType}

    def register_hook(self, hook_type: HookType, hook_func: Hook) -> None:
        """Run ``hook_func(context)`` for every event of ``hook_type`` from now on.

        :raises TypeError: when ``hook_type`` is no :class:`HookType`, or ``hook_func`` is not
            callable or is a coroutine function.
        """
        self._check(hook_type, hook_func)
        if is_coroutine_hook(hook_func):
            raise TypeError(
                f"hook {hook_name(hook_func)!r} is a coroutine function, which a synchronous "
                "manager can't await; give a plain function, or use AsyncConnectionManager"
            )
        self._append(hook_type, hook_func)

    def _check(self, hook_type: Any, hook_func: Any) -> None:
        if not isinstance(hook_type, HookType):
            raise TypeError(f"hook_type must be a HookType, not {hook_type!r}")
        if not callable(hook_func):
            raise TypeError(f"hook_func must be callable, not {hook_func!r}")

    def _append(self, hook_type: HookType, hook: Hook) -> None:
        with self._lock:
            self._hooks = {**self._hooks, hook_type.value: (*self._hooks[hook_type.value], hook)}

    def unregister_hook(self, hook_type: HookType, hook_func: Hook) -> None:
        """Run ``hook_func`` no more.

        :raises ValueError: when it is not registered.
        """
        self._check(hook_type, hook_func)
        with self._lock:
            known = list(self._hooks[hook_type.value])
            for index, hook in enumerate(known):
                if hook == hook_func or getattr(hook, "hook", None) == hook_func:
                    del known[index]
                    break
            else:
                raise ValueError(
                    f"hook {hook_name(hook_func)!r} is not registered for {hook_type.value}"
                )
            self._hooks = {**self._hooks, hook_type.value: tuple(known)}

    def hooks(self, hook_type: HookType) -> Tuple[Hook, ...]:
        """Return the hooks of a kind, in order."""
        return self._hooks[hook_type.value]

    @property
    def after_response(self) -> Tuple[Hook, ...]:
        """The post-response hooks, in order."""
        return self._hooks["post_response"]

    def execute_pre_request_hooks(self, context: RequestContext) -> None:
        """Run the pre-request hooks; what one raises ends the call."""
        for hook in self._hooks["pre_request"]:
            hook(context)

    def execute_post_response_hooks(self, context: ResponseContext) -> None:
        """Run the post-response hooks; what one raises ends the call."""
        for hook in self._hooks["post_response"]:
            hook(context)

    def execute_error_hooks(self, context: ErrorContext) -> None:
        """Run the error hooks until one provides a fallback."""
        for hook in self._hooks["error_handler"]:
            hook(context)
            if context.resolved:
                break

    def list_hooks(self) -> Dict[str, List[str]]:
        """Return the names of the hooks by kind, in order.

        >>> PluginManager().list_hooks()
        {'pre_request': [], 'post_response': [], 'error_handler': []}
        """
        return {kind.value: [hook_name(hook) for hook in self.hooks(kind)] for kind in HookType}

    def renew_lock(self) -> None:
        """Replace the lock; called in the child after a fork."""
        self._lock = threading.Lock()


class BlockingHook:
    """A plain hook that an asynchronous manager runs on a worker thread."""

    def __init__(self, hook: Hook) -> None:
        self.hook = hook

    def __call__(self, context: Any) -> Any:
        """Run the hook."""
        return self.hook(context)


class AsyncPluginManager(PluginManager):
    """A :class:`PluginManager` that awaits coroutine hooks.

    Plain hooks run on the event loop; registered with ``blocking=True`` they run on a thread.

    :param run_in_thread: awaits a plain function that runs on a worker thread.
    """

    def __init__(self, run_in_thread: Callable[[Hook, Any], Awaitable[Any]]) -> None:
        super().__init__()
        self._run_in_thread = run_in_thread
        self._coroutine_hooks: Tuple[Hook, ...] = ()

    def register_hook(self, hook_type: HookType, hook_func: Hook, blocking: bool = False) -> None:
        """Run ``hook_func(context)`` for every event of ``hook_type`` from now on.

        :param blocking: run this plain function on a worker thread.
        :raises TypeError: as :meth:`PluginManager.register_hook`, but coroutine functions are
            welcome, unless ``blocking`` is set.
        """
        self._check(hook_type, hook_func)
        if is_coroutine_hook(hook_func):
            if blocking:
                raise TypeError(
                    f"hook {hook_name(hook_func)!r} is a coroutine function: blocking=True is "
                    "for plain functions"
                )
            self._coroutine_hooks = (*self._coroutine_hooks, hook_func)
        self._append(hook_type, BlockingHook(hook_func) if blocking else hook_func)

    async def run(self, hook: Hook, context: Any) -> None:
        """Run one hook in the way it was registered."""
        if hook in self._coroutine_hooks:
            await hook(context)
        elif isinstance(hook, BlockingHook):
            await self._run_in_thread(hook, context)
        else:
            hook(context)

    async def run_pre_request_hooks(self, context: RequestContext) -> None:
        """As :meth:`execute_pre_request_hooks`, awaiting."""
        for hook in self._hooks["pre_request"]:
            await self.run(hook, context)

    async def run_post_response_hooks(self, context: ResponseContext) -> None:
        """As :meth:`execute_post_response_hooks`, awaiting."""
        for hook in self._hooks["post_response"]:
            await self.run(hook, context)

    async def run_error_hooks(self, context: ErrorContext) -> None:
        """As :meth:`execute_error_hooks`, awaiting."""
        for hook in self._hooks["error_handler"]:
            await self.run(hook, context)
            if context.resolved:
                break


def hook_name(hook: Hook) -> str:
    """Return a readable name of a hook."""
    hook = getattr(hook, "hook", hook)
    while isinstance(hook, functools.partial):
        hook = hook.func
    name = getattr(hook, "__name__", None)
    return name if isinstance(name, str) else type(hook).__name__
