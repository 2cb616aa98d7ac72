"""One package in place of the glue around requests and httpx."""
