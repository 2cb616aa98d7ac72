"""Listeners for other projects' tools.

Each module needs the extra that has its name, and is imported by who wants it; the package itself
imports none.
"""

from __future__ import annotations
