"""Optional packages: loaded at first use, and named with their extra when they are missing.

Holds the one wording of "this extra is not installed"; knows nothing of our other modules.
"""

from __future__ import annotations

import importlib
from types import ModuleType


def load(module: str, extra: str) -> ModuleType:
    """Import an optional module.

    :param module: its dotted name.
    :param extra: the extra of this package that installs it.

    :raises ImportError: if it is not installed; the text names the extra. What goes wrong inside
        a module that is there is raised as it is.

    Safe from any thread, as imports are.

    >>> load("json", extra="json").__name__
    'json'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not _is_within(module, error.name):
            raise
        raise missing_extra(extra, module.partition(".")[0]) from error


def _is_within(module: str, missing: object) -> bool:
    """Tell whether the missing one is the module itself or a package that it is in."""
    return isinstance(missing, str) and f"{module}.".startswith(f"{missing}.")


def missing_extra(extra: str, package: str) -> ImportError:
    """Return the error for an optional package that is not installed.

    :param extra: the extra of this package that installs it.
    :param package: what is missing.

    >>> print(missing_extra("aiohttp", "aiohttp"))
    this needs aiohttp, which is not installed: pip install 'requests-connection-manager[aiohttp]'
    """
    return ImportError(
        f"this needs {package}, which is not installed:"
        f" pip install 'requests-connection-manager[{extra}]'",
        name=package,
    )


__all__ = ["load", "missing_extra"]
