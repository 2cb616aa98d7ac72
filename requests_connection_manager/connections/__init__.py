"""How connections are opened, kept and used, below each HTTP library.

``wire`` and ``http1`` belong to requests; ``books``, ``trace``, ``async_*``, ``asyncio_*``,
``network`` and ``sync_*`` to httpx; ``aiohttp_*`` and ``http1_request`` to httpx over aiohttp.
Nothing here knows settings or the pipeline. Holds no names of its own: each module is
imported where it is needed.
"""
