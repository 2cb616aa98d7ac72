"""Hooks: registration, order, what they may be, and how the async manager runs them."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import Any, List

import pytest

from requests_connection_manager.plugins import (
    AsyncPluginManager,
    ErrorContext,
    HookType,
    PluginManager,
    RequestContext,
    ResponseContext,
    hook_name,
    is_coroutine_hook,
)

REQUEST = RequestContext("GET", "https://api.test/")


async def in_thread(hook: Any, context: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, hook, context)


class CallableHook:
    def __call__(self, context: Any) -> None: ...


class AsyncCallableHook:
    async def __call__(self, context: Any) -> None: ...


class Owner:
    def hook(self, context: Any) -> None: ...

    async def async_hook(self, context: Any) -> None: ...


def plain(context: Any) -> None: ...


async def coroutine(context: Any) -> None: ...


PLAIN = [plain, CallableHook(), Owner().hook, functools.partial(plain), print]
COROUTINES = [
    coroutine,
    AsyncCallableHook(),
    Owner().async_hook,
    functools.partial(coroutine),
    functools.partial(functools.partial(coroutine)),
]


@pytest.mark.parametrize("hook", PLAIN)
def test_plain_hooks_are_taken_by_both(hook: Any) -> None:
    assert not is_coroutine_hook(hook)
    for plugins in (PluginManager(), AsyncPluginManager(in_thread)):
        plugins.register_hook(HookType.PRE_REQUEST, hook)
        assert plugins.hooks(HookType.PRE_REQUEST) == (hook,)


@pytest.mark.parametrize("hook", COROUTINES)
def test_coroutine_hooks_are_refused_by_the_sync_side_only(hook: Any) -> None:
    assert is_coroutine_hook(hook)
    with pytest.raises(TypeError, match=r"coroutine function.*AsyncConnectionManager"):
        PluginManager().register_hook(HookType.PRE_REQUEST, hook)
    AsyncPluginManager(in_thread).register_hook(HookType.PRE_REQUEST, hook)
    with pytest.raises(TypeError, match="blocking=True is"):
        AsyncPluginManager(in_thread).register_hook(HookType.PRE_REQUEST, hook, blocking=True)


@pytest.mark.parametrize("kind", ["pre_request", None, 1])
def test_a_hook_type_must_be_one(kind: Any) -> None:
    for method in (PluginManager().register_hook, PluginManager().unregister_hook):
        with pytest.raises(TypeError, match=f"hook_type must be a HookType, not {kind!r}"):
            method(kind, plain)


@pytest.mark.parametrize("hook", [None, 7, "hook"])
def test_a_hook_must_be_callable(hook: Any) -> None:
    with pytest.raises(TypeError, match=f"hook_func must be callable, not {hook!r}"):
        PluginManager().register_hook(HookType.PRE_REQUEST, hook)


def test_hooks_run_in_order_and_as_often_as_they_are_registered() -> None:
    plugins, seen = PluginManager(), []
    first, second = (lambda _: seen.append(1)), (lambda _: seen.append(2))
    for hook in (first, second, first):
        plugins.register_hook(HookType.PRE_REQUEST, hook)
    plugins.execute_pre_request_hooks(REQUEST)
    assert seen == [1, 2, 1]
    plugins.unregister_hook(HookType.PRE_REQUEST, first)
    plugins.execute_pre_request_hooks(REQUEST)
    assert seen == [1, 2, 1, 2, 1]


def test_a_bound_method_can_be_unregistered() -> None:
    plugins, owner = PluginManager(), Owner()
    plugins.register_hook(HookType.ERROR_HANDLER, owner.hook)
    plugins.unregister_hook(HookType.ERROR_HANDLER, owner.hook)
    assert plugins.hooks(HookType.ERROR_HANDLER) == ()


def test_unregistering_what_is_not_there_is_an_error() -> None:
    plugins = PluginManager()
    plugins.register_hook(HookType.PRE_REQUEST, plain)
    with pytest.raises(ValueError, match="'plain' is not registered for error_handler"):
        plugins.unregister_hook(HookType.ERROR_HANDLER, plain)


def test_what_a_hook_raises_gets_through_and_ends_the_round() -> None:
    plugins, seen = PluginManager(), []

    def broken(context: Any) -> None:
        raise ZeroDivisionError

    plugins.register_hook(HookType.POST_RESPONSE, broken)
    plugins.register_hook(HookType.POST_RESPONSE, seen.append)
    with pytest.raises(ZeroDivisionError):
        plugins.execute_post_response_hooks(ResponseContext(None, REQUEST))
    assert seen == []


class Falsy:
    """As a 4xx response of requests is."""

    def __bool__(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("handled", "fallback", "resolved"),
    [
        (True, object(), True),
        (True, Falsy(), True),
        (True, None, False),
        (False, object(), False),
        (False, None, False),
    ],
)
def test_when_an_error_is_resolved(handled: bool, fallback: Any, resolved: bool) -> None:
    context = ErrorContext(ValueError(), REQUEST)
    context.handled, context.fallback_response = handled, fallback
    assert context.resolved is resolved


def test_the_first_fallback_ends_the_search() -> None:
    plugins, seen = PluginManager(), []

    def resolve(context: ErrorContext) -> None:
        context.handled, context.fallback_response = True, Falsy()

    def only_handled(context: ErrorContext) -> None:
        context.handled = True

    for hook in (only_handled, resolve, seen.append):
        plugins.register_hook(HookType.ERROR_HANDLER, hook)
    plugins.execute_error_hooks(ErrorContext(ValueError(), REQUEST))
    assert seen == []


def test_a_call_in_flight_keeps_the_hooks_with_which_it_began() -> None:
    plugins: PluginManager = PluginManager()
    seen: List[str] = []

    def late(context: Any) -> None:
        seen.append("late")

    def adds_another(context: Any) -> None:
        seen.append("first")
        plugins.register_hook(HookType.PRE_REQUEST, late)

    plugins.register_hook(HookType.PRE_REQUEST, adds_another)
    plugins.execute_pre_request_hooks(REQUEST)
    assert seen == ["first"]


@pytest.mark.parametrize(
    ("hook", "name"),
    [
        (plain, "plain"),
        (functools.partial(plain), "plain"),
        (CallableHook(), "CallableHook"),
        (Owner().hook, "hook"),
        (print, "print"),
    ],
)
def test_hooks_are_listed_by_a_readable_name(hook: Any, name: str) -> None:
    assert hook_name(hook) == name
    plugins = AsyncPluginManager(in_thread)
    plugins.register_hook(HookType.PRE_REQUEST, hook, blocking=True)
    assert plugins.list_hooks() == {"pre_request": [name], "post_response": [], "error_handler": []}


def test_concurrent_registration_loses_nothing() -> None:
    plugins = PluginManager()

    def register() -> None:
        for _ in range(50):
            plugins.register_hook(HookType.PRE_REQUEST, plain)

    threads = [threading.Thread(target=register) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(plugins.hooks(HookType.PRE_REQUEST)) == 400


@pytest.mark.parametrize("kind", list(HookType))
def test_the_async_side_awaits_runs_and_delegates(kind: HookType) -> None:
    plugins = AsyncPluginManager(in_thread)
    seen: List[Any] = []

    async def awaited(context: Any) -> None:
        await asyncio.sleep(0)
        seen.append("awaited")

    def on_the_loop(context: Any) -> None:
        seen.append(threading.current_thread() is threading.main_thread())

    def on_a_thread(context: Any) -> None:
        seen.append(threading.current_thread() is not threading.main_thread())

    async def main() -> None:
        plugins.register_hook(kind, awaited)
        plugins.register_hook(kind, on_the_loop)
        plugins.register_hook(kind, on_a_thread, blocking=True)
        run = {
            HookType.PRE_REQUEST: plugins.run_pre_request_hooks,
            HookType.POST_RESPONSE: plugins.run_post_response_hooks,
            HookType.ERROR_HANDLER: plugins.run_error_hooks,
        }[kind]
        context = ErrorContext(ValueError(), REQUEST)
        await run(context)  # type: ignore[arg-type]  # the hooks of this test take any context
        plugins.unregister_hook(kind, on_a_thread)
        plugins.unregister_hook(kind, awaited)

    asyncio.run(main())
    assert seen == ["awaited", True, True]
    assert plugins.hooks(kind) == (on_the_loop,)


def test_a_context_takes_attributes_of_its_own() -> None:
    context = RequestContext("GET", "https://api.test/")
    context.began = 5  # type: ignore[attr-defined]  # what is tested: hooks pass things on
    assert context.began == 5  # type: ignore[attr-defined]
