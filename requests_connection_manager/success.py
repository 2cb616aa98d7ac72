"""Whether a response is a success, for those who look at it without exceptions.

Knows responses by their ``status_code`` only.
"""

from __future__ import annotations

from typing import Any, Collection


def is_success(response: Any, ok_statuses: Collection[int] = ()) -> bool:
    """Tell whether a response is no error: a status below 400, or one that is expected.

    The counterpart of ``raise_for_status`` and ``ok_statuses``: ``False`` for just those responses
    that they would raise. A redirect that was not followed is no error.

    :param response: a ``requests.Response`` or an ``httpx.Response``.
    :param ok_statuses: statuses from 400 on that count as answers.
    :raises TypeError: when it is no response.

    Safe to use from several threads and tasks.

    >>> import requests
    >>> response = requests.Response()
    >>> response.status_code = 404
    >>> is_success(response), is_success(response, ok_statuses={404})
    (False, True)
    """
    status = getattr(response, "status_code", None)
    if not isinstance(status, int):
        raise TypeError(
            "is_success needs a response with a status_code, such as a requests.Response or an "
            f"httpx.Response, not a {type(response).__name__}"
        )
    return status < 400 or status in ok_statuses


__all__ = ["is_success"]
