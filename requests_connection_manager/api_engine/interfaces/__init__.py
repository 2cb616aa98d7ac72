"""The interfaces of the API engine: what can be exchanged, each in a module of its own."""
