"""Policies: pure decisions. They never sleep, send, or import an HTTP client library."""
