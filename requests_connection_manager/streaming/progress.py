"""How far a download has come, told to a function or shown as a bar.

Holds :class:`Progress`, and :func:`open_bar`, the bar of the extra ``progress`` (rich, loaded when
a bar is asked for). Knows neither HTTP nor files.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Optional, Union

from ..extras import load
from ..plugins import is_coroutine_hook


@dataclass(frozen=True)
class Progress:
    """How far a download has come.

    :ivar received: the bytes of the file that are there; fewer than before when it had to begin
        anew.
    :ivar total: how many there will be; ``None``: the server does not say.
    :ivar resumed: how often it went on from where a connection had broken.
    :ivar attempt: which attempt is under way, from 1 on.

    >>> Progress(received=50, total=200).fraction
    0.25
    """

    received: int
    total: Optional[int] = None
    resumed: int = 0
    attempt: int = 1

    @property
    def fraction(self) -> Optional[float]:
        """The share that is there, from 0 to 1; ``None``: unknown."""
        if self.total is None:
            return None
        return self.received / self.total if self.total else 1.0


ProgressCallback = Callable[[Progress], object]
"""What is called with each :class:`Progress`; what it raises ends the download."""


def check_progress(progress: Any) -> Any:
    """Return what is to be told of the progress, checked; ``None``: nothing.

    :raises TypeError: if it is neither a plain function nor a ``bool``.
    :raises ImportError: for a bar without the extra ``progress``.
    """
    if progress is None or progress is False:
        return None
    if progress is True:
        load("rich.progress", "progress")
        return True
    if not callable(progress):
        raise TypeError(f"progress must be a function or True, not {progress!r}")
    if is_coroutine_hook(progress):
        raise TypeError(
            f"progress: {progress!r} is a coroutine function, which nobody would await; give a "
            "plain function"
        )
    return progress


@contextmanager
def reporting(
    progress: Union[ProgressCallback, bool, None], name: str
) -> Iterator[ProgressCallback]:
    """Give the function that tells of the progress, for the time of a download.

    :param name: of the file, for the bar.

    >>> seen = []
    >>> with reporting(seen.append, "file") as tell:
    ...     tell(Progress(1))
    >>> seen[0].received
    1
    """
    if progress is True:
        with _bar(name) as show:
            yield show
    elif callable(progress):
        yield progress
    else:
        yield _nobody


def _nobody(progress: Progress) -> None:
    """Tell nobody."""


@contextmanager
def _bar(name: str) -> Iterator[ProgressCallback]:
    with open_bar(name, "DownloadColumn", "TransferSpeedColumn") as move:
        yield lambda progress: move(progress.received, progress.total)


@contextmanager
def open_bar(name: str, *columns: str) -> Iterator[Callable[[int, Optional[int]], None]]:
    """Show a bar on the standard error; gives the function that moves it.

    :param columns: names of rich's columns between the bar and the time that remains.
    """
    rich: Any = load("rich.progress", "progress")
    console = load("rich.console", "progress").Console(stderr=True)
    shown = (
        rich.TextColumn("{task.description}", markup=False),
        rich.BarColumn(),
        *(getattr(rich, column)() for column in columns),
        rich.TimeRemainingColumn(),
    )
    with rich.Progress(*shown, console=console) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


__all__ = ["Progress", "ProgressCallback", "check_progress", "open_bar", "reporting"]
