"""Running code as a document prints it."""

from __future__ import annotations

import textwrap
from typing import Any, Dict


def run_printed(code: str, *, annotated: bool = False, **given: Any) -> Dict[str, Any]:
    """Run the code and return what it defines.

    :param annotated: its annotations are for later Pythons than this one may be.
    :param given: names that the code finds.
    """
    namespace: Dict[str, Any] = {"__name__": "printed", **given}
    flags = annotations.compiler_flag if annotated else 0
    exec(compile(textwrap.dedent(code), "<printed>", "exec", flags, dont_inherit=True), namespace)
    return namespace
