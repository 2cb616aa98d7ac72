"""Calling a function again when it fails.

Holds :func:`retry_with_backoff`, which is a function and a decorator. Knows requests' errors, and
httpx' where a program uses it; the loop is the pipeline's.
"""

from __future__ import annotations

import functools
import inspect
import sys
from typing import Any, Awaitable, Callable, Optional, Tuple, Type, TypeVar, Union, overload

from requests import RequestException

from ..checks import check_clock
from ..plugins import is_coroutine_hook
from ..policies._checks import check_count, check_number
from ..policies.retry import Retry
from ..types import Clock
from .function_hop import (
    AsyncFunctionHop,
    FunctionHop,
    Terms,
    run_async_function,
    run_function,
)

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
ErrorTypes = Union[Type[Exception], Tuple[Type[Exception], ...]]

# Told by its identity: only who gives no classes gets httpx' as well.
_DEFAULT: Tuple[Type[Exception], ...] = (RequestException,)


@overload
def retry_with_backoff(
    func: Callable[[], T],
    max_attempts: int = 3,
    base_delay: float = 1.0,
    max_delay: float = 60.0,
    retryable_exceptions: ErrorTypes = ...,
    *,
    clock: Optional[Clock] = None,
) -> T: ...


@overload
def retry_with_backoff(
    func: None = None,
    max_attempts: int = 3,
    base_delay: float = 1.0,
    max_delay: float = 60.0,
    retryable_exceptions: ErrorTypes = ...,
    *,
    clock: Optional[Clock] = None,
) -> Callable[[F], F]: ...


def retry_with_backoff(
    func: Optional[Callable[[], Any]] = None,
    max_attempts: int = 3,
    base_delay: float = 1.0,
    max_delay: float = 60.0,
    retryable_exceptions: ErrorTypes = _DEFAULT,
    *,
    clock: Optional[Clock] = None,
) -> Any:
    """Call a function until it returns, with exponentially growing delays.

    Before attempt *n* + 1 there are ``base_delay * 2 ** (n - 1)`` seconds, at most ``max_delay``,
    plus a random share of up to a tenth. An error that carries a server's hint (``retry_after``,
    or a response with ``Retry-After``) raises the delay, up to ``max_delay``.

    Without ``func`` it returns a decorator; the parentheses are needed. Where a call returns an
    awaitable, so does this: coroutine functions work in both forms, on asyncio and trio.

    :param func: what to call, without arguments.
    :param max_attempts: how many calls there are at most.
    :param base_delay: seconds before the second attempt; 0: none.
    :param max_delay: longest delay in seconds, before the random share.
    :param retryable_exceptions: classes of the errors that are worth another attempt; a tuple, or
        one class. By default every error of requests, and of httpx where it is loaded: narrow it
        where an error of a kind, such as a 404, is final.
    :param clock: where time comes from; for tests.
    :returns: what the function returns; without ``func`` a decorator.
    :raises Exception: the function's last error, the very object; one that is not worth another
        attempt, cancellation and Ctrl-C at once.
    :raises TypeError: for a parameter of the wrong type, naming it.
    :raises ValueError: for a number out of range, naming the parameter.

    Safe to use from several threads and tasks. Retries are logged at WARNING, the end at ERROR.

    >>> answers = iter([KeyError("not yet"), "here"])
    >>> def ask():
    ...     answer = next(answers)
    ...     if isinstance(answer, Exception):
    ...         raise answer
    ...     return answer
    >>> retry_with_backoff(ask, base_delay=0, retryable_exceptions=(KeyError,))
    'here'
    """
    retry = Retry(
        total=check_count(max_attempts, "max_attempts") - 1,
        allowed_methods=None,
        backoff_factor=check_number(base_delay, "base_delay", least=0.0),
        backoff_max=check_number(max_delay, "max_delay", least=0.0),
        backoff_jitter=0.1,
    )
    worth = _worth(_checked_classes(retryable_exceptions))
    terms = Terms(retry, worth, max_delay, _checked_clock(clock))
    if func is None:
        return functools.partial(_decorated, terms)
    _check_callable(func, "func")
    return _run(func, _name_of(func), terms)


def _decorated(terms: Terms, function: Callable[..., Any]) -> Callable[..., Any]:
    _check_callable(function, "the decorated function")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"{function.__qualname__} is a generator function: its errors come after the call, so "
            "that it can't be retried; decorate what it calls"
        )
    name = _name_of(function)
    if is_coroutine_hook(function):

        @functools.wraps(function)
        async def awaiting(*args: Any, **kwargs: Any) -> Any:
            call = functools.partial(function, *args, **kwargs)
            return await run_async_function(AsyncFunctionHop(call, name, terms))

        return awaiting

    @functools.wraps(function)
    def calling(*args: Any, **kwargs: Any) -> Any:
        return _run(functools.partial(function, *args, **kwargs), name, terms)

    return calling


def _run(function: Callable[[], Any], name: str, terms: Terms) -> Any:
    if is_coroutine_hook(function):
        return run_async_function(AsyncFunctionHop(function, name, terms))
    hop = FunctionHop(function, name, terms)
    result = run_function(hop)
    if not inspect.isawaitable(result):
        return result
    # Nothing has run so far but the function around it, such as a lambda.
    used = len(hop.call.attempts) - 1
    terms = terms._replace(retry=terms.retry.new(total=int(terms.retry.total or 0) - used))
    return run_async_function(AsyncFunctionHop(_Resumed(result, function), name, terms))


class _Resumed:
    """A function that was called once already: its first result is at hand."""

    def __init__(self, first: Awaitable[Any], function: Callable[[], Any]) -> None:
        self._first: Optional[Awaitable[Any]] = first
        self._function = function

    def __call__(self) -> Any:
        first, self._first = self._first, None
        return self._function() if first is None else first


def _worth(classes: Tuple[Type[Exception], ...]) -> Callable[[], Tuple[Type[BaseException], ...]]:
    if classes is not _DEFAULT:
        return lambda: classes
    return _errors_of_http_libraries


def _errors_of_http_libraries() -> Tuple[Type[BaseException], ...]:
    # Who has not loaded httpx can't have got an error of its, and shall not pay for it.
    known = getattr(sys.modules.get("httpx"), "HTTPError", None)
    return _DEFAULT if known is None else (*_DEFAULT, known)


# -- checks


def _check_callable(value: Any, name: str) -> None:
    if not callable(value):
        raise TypeError(
            f"{name} must be callable, not {value!r}; a decorator is made with named parameters: "
            "@retry_with_backoff(max_attempts=5)"
        )


def _checked_classes(given: ErrorTypes) -> Tuple[Type[Exception], ...]:
    classes = (given,) if isinstance(given, type) else given
    if not isinstance(classes, tuple):
        raise TypeError(f"retryable_exceptions must be a tuple of exception classes, not {given!r}")
    for one in classes:
        if not (isinstance(one, type) and issubclass(one, Exception)):
            raise TypeError(
                f"retryable_exceptions must be subclasses of Exception, not {one!r}: cancellation "
                "and Ctrl-C are never retried"
            )
    return classes


def _checked_clock(clock: Optional[Clock]) -> Optional[Clock]:
    check_clock(clock)
    return clock


def _name_of(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__qualname__", None)
    return name if isinstance(name, str) else type(function).__qualname__


__all__ = ["retry_with_backoff"]
