"""A failure of the guard's own, in the shape of the API that was called."""

from __future__ import annotations

import json

from aiohttp import web

from kvassay.types import JsonObject

_ANTHROPIC = {
    400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 413: "request_too_large",
    503: "overloaded_error",
}  # fmt: skip


def refusal(path: str, status: int, message: str, *, close: bool = False) -> web.Response:
    """An HTTP error that an agent of the path's API can read: OpenAI's, Anthropic's or Ollama's. ``close`` ends the
    connection after it, as one must when a request was not read to its end.
    """
    body = json.dumps(_shape(path.partition("?")[0], status, f"kvassay guard: {message}"))
    response = web.Response(status=status, body=body.encode(), content_type="application/json")
    if close:
        response.force_close()
    return response


def _shape(path: str, status: int, message: str) -> JsonObject:
    if path.endswith(("/v1/messages", "/v1/messages/count_tokens")):
        return {"type": "error", "error": {"type": _ANTHROPIC.get(status, "api_error"), "message": message}}
    if path.startswith("/api/"):
        return {"error": message}
    kind = "invalid_request_error" if status < 500 else "server_error"  # noqa: PLR2004  HTTP's classes
    return {"error": {"message": message, "type": kind, "param": None, "code": status}}
