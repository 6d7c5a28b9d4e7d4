"""The HTTP side: replies, the guard, the API, the server."""
