"""A response as the value that was asked for.

Holds :func:`value_of`, the one way from a response of httpx's to parsed data or a model. Sends and
reads nothing.
"""

from __future__ import annotations

from typing import Any, Callable, Optional

from ..content import parse
from ..exceptions import ValidationError
from ..redaction import redact_url
from ..settings import UNSET
from ..transport import hx
from ..validation import pick, validate
from .serialization import Serializer


def value_of(
    response: hx.Response,
    model: Any,
    response_key: Optional[str],
    serializer: Serializer,
    redact: Callable[[str], str] = str,
) -> Any:
    """Return the data of a response, part of it or a model made of it.

    :param model: what to validate against; ``UNSET``: the data as it is.
    :param response_key: the key of the part that is meant.
    :param redact: hides secrets that the caller knows of; a server may repeat them.
    :raises ValidationError: when it is not of that form; it has ``response`` and ``request``.
    """
    try:
        data = _data(response, serializer)
        if response_key is not None:
            data = pick(data, response_key)
        return data if model is UNSET else validate(data, model)
    except ValidationError as error:
        request = response.request
        where = f"{request.method} {redact_url(str(request.url))}, status {response.status_code}"
        nothing = "" if response.content else " (the response has no body)"
        error.args = (f"{where}: {redact(str(error))}{nothing}",)
        error.request, error.response = request, response
        error.attempts = response.__dict__.get("attempts", ())
        raise


def _data(response: hx.Response, serializer: Serializer) -> Any:
    content_type = response.headers.get("Content-Type")
    media = (content_type or "").split(";")[0].strip().lower()
    if response.content and media == serializer.content_type.split(";")[0].strip().lower():
        try:
            return serializer.loads(response.content)
        except ValueError:
            pass  # what is wrong with it is said below, in other encodings it may be right
    return parse(response.content, content_type)


__all__ = ["value_of"]
