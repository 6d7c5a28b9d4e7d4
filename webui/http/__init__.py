"""The HTTP side: server, guard, and the API."""
