"""A download from beginning to end: one coroutine for both worlds.

Holds :func:`download` and its result. Checks what was given, makes the file, has it filled (see
``transfer``), and puts it in its place or cleans up. Knows no HTTP library.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Mapping, NamedTuple, Optional, Union

from ..exceptions import HTTPError, ValidationError
from ..policies._checks import check_count
from .checksum import Checksum, parse_checksum
from .download_target import check_path, look_at
from .exchange import Exchanger
from .kept_part import key_of
from .partial_file import PartialFile
from .progress import ProgressCallback, check_progress, reporting
from .reader import checked_method, with_headers
from .transfer import Transfer

KEEP = "keep"

_OURS = ("stream", "raise_for_status", "ok_statuses")
_RANGE_HEADERS = ("range", "if-range")
# What says that the file is no more, unlike an error after which it is worth to come back.
_GONE = (404, 410)


@dataclass(frozen=True)
class Download:
    """What a download came to.

    :ivar path: where the file is, as it was given.
    :ivar size: its size in bytes; after a 304, how many bytes came: 0.
    :ivar status: of the last answer: 200, 206 after a resumption, 304 if nothing was changed.
    :ivar headers: of the last answer, looked up without regard to case.
    :ivar etag: its entity tag, or ``None``.
    :ivar resumed: how often it went on from where a connection had broken.
    :ivar checksum: ``"algorithm:hex"`` of the content, if one was asked for.
    """

    path: Path
    size: int
    status: int
    headers: Mapping[str, str] = field(repr=False)
    etag: Optional[str] = None
    resumed: int = 0
    checksum: Optional[str] = None


class Order(NamedTuple):
    """What is wanted, checked."""

    method: str
    url: Any
    path: str
    progress: Union[ProgressCallback, bool, None]
    checksum: Optional[Checksum]
    resume: Union[bool, str]
    overwrite: bool
    chunk_size: int
    options: Dict[str, Any]

    @property
    def keeps(self) -> bool:
        """Whether a part is left to a later call."""
        return self.resume == KEEP


def check_order(
    url: Any,
    path: Any,
    method: Any,
    progress: Any,
    checksum: Any,
    resume: Any,
    overwrite: Any,
    chunk_size: Any,
    options: Dict[str, Any],
) -> Order:
    """Return what was given, checked.

    :raises TypeError: for a value of the wrong type, naming it.
    :raises ValueError: for a value that can't be, naming it.
    :raises ImportError: for a bar without the extra ``progress``.
    """
    if not isinstance(resume, (bool, str)):
        raise TypeError(f"resume must be True, False or {KEEP!r}, not {resume!r}")
    if isinstance(resume, str) and resume != KEEP:
        raise ValueError(f"resume must be True, False or {KEEP!r}, not {resume!r}")
    if not isinstance(overwrite, bool):
        raise TypeError(f"overwrite must be True or False, not {overwrite!r}")
    if checked_method(method).upper() == "HEAD":
        raise ValueError("method must be one whose answer has a body, not 'HEAD'")
    return Order(
        method,
        url,
        check_path(path),
        check_progress(progress),
        parse_checksum(checksum),
        resume,
        overwrite,
        check_count(chunk_size, "chunk_size"),
        _checked_options(options),
    )


def _checked_options(options: Dict[str, Any]) -> Dict[str, Any]:
    for name in _OURS:
        if name in options:
            raise ValueError(f"{name} can't be given: a download saves nothing but a success")
    # A file is wanted as it is, so that its length and its parts mean something.
    options = with_headers(options, {"Accept-Encoding": "identity"}, {})
    for name, _ in getattr(options["headers"], "items", lambda: options["headers"])():
        text = name.decode("latin-1") if isinstance(name, bytes) else str(name)
        if text.lower() in _RANGE_HEADERS:
            raise ValueError(
                f"the header {text} can't be given: download() itself asks for parts; use "
                "request() to get one"
            )
    # No page of an error under the name of a file, whatever the client takes for an answer.
    return {**options, "raise_for_status": True, "ok_statuses": ()}


async def download(exchanger: Exchanger, order: Order) -> Download:
    """Bring a file; see ``Streaming.download``."""
    target = await exchanger.in_thread(look_at, order.path, order.overwrite)
    part = PartialFile(target, order.checksum.hasher if order.checksum else None)
    key = key_of(order.method.upper(), exchanger.target(order.url))
    with reporting(order.progress, target.name) as tell:
        transfer = Transfer(
            exchanger,
            order.method,
            order.url,
            order.options,
            part,
            resumes=order.resume is not False,
            chunk_size=order.chunk_size,
            tell=tell,
        )
        try:
            kept = await exchanger.in_thread(part.create, key if order.keeps else None)
            if kept is not None:
                transfer.continue_from(kept.validator, kept.total)
            if await transfer.run():
                _check_digest(order.checksum, transfer, part)
                await exchanger.in_thread(part.commit)
            else:
                await exchanger.in_thread(part.discard)
        except BaseException as exc:
            # Also of a task that is being cancelled, and after Ctrl-C.
            await exchanger.in_thread(_clear_up, order, transfer, part, key, exc)
            raise
    return _result(order, transfer, part)


def _check_digest(checksum: Optional[Checksum], transfer: Transfer, part: PartialFile) -> None:
    if checksum is not None and part.digest() != checksum.digest:
        raise transfer.invalid(
            f"{transfer.shown}: the {checksum.algorithm} of what came is {part.digest().hex()}, "
            f"not {checksum.digest.hex()}; nothing was saved"
        )


def _clear_up(
    order: Order, transfer: Transfer, part: PartialFile, key: str, error: BaseException
) -> None:
    """Remove what has come, or leave it to a later call."""
    gone = isinstance(error, HTTPError) and error.status_code in _GONE
    worth_it = not gone and not isinstance(error, ValidationError) and part.size
    if order.keeps and worth_it and transfer.validator is not None:
        part.keep(key, transfer.validator, transfer.total)
    else:
        part.discard()


def _result(order: Order, transfer: Transfer, part: PartialFile) -> Download:
    answer, checksum = transfer.answer, order.checksum
    assert answer is not None
    if not part.placed:
        checksum = None
    return Download(
        Path(order.path),
        part.size,
        answer.status,
        answer.headers,
        answer.headers.get("ETag"),
        transfer.resumed,
        None if checksum is None else str(checksum),
    )


__all__ = ["KEEP", "Download", "Order", "check_order", "download"]
