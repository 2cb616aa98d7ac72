"""Batches that go item by item, in all worlds by the same blocking calls."""

from __future__ import annotations

import threading


class Steps:
    """The results of a batch, one at a time, by blocking calls."""

    def __init__(self, driver, face, items, **options):
        self._driver, self._face = driver, face
        if driver.is_sync:
            self.given = face.manager.iter_batch(items, **options)
        else:
            self.given = face.await_(self._begin, items, options)

    async def _begin(self, items, options):
        return self._face.manager.aiter_batch(items, **options)

    def __iter__(self):
        return self

    def __next__(self):
        if self._driver.is_sync:
            return next(self.given)
        result = self._face.await_(self._anext)
        if result is None:
            raise StopIteration
        return result

    async def _anext(self):
        try:
            return await self.given.__anext__()
        except StopAsyncIteration:
            return None

    def close(self):
        if self._driver.is_sync:
            self.given.close()
        else:
            self._face.await_(self.given.aclose)


def alive():
    """Return the threads of batches."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("batch-")]
