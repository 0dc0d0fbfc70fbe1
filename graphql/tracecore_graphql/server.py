"""The audit server: one Starlette application over the record of one workspace."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tracecore_graphql.audit_source import AuditSource
from tracecore_graphql.limits import DEFAULT_LIMITS, Limits
from tracecore_graphql.schema import Answer, ask
from tracecore_graphql.thread_slots import Busy, StillRunning, ThreadSlots
from tracecore_graphql.tokens import Role, TokenStore
from tracecore_schemas.strict_json import StrictJSONError, loads_strict

__all__ = ["BodyTooLarge", "application", "read_body"]


class BodyTooLarge(Exception):
    """A body over the cap; `cap` is in bytes."""

    def __init__(self, cap: int) -> None:
        super().__init__(f"The body is larger than {cap} bytes.")
        self.cap = cap


async def read_body(request: Request, cap: int) -> bytes:
    """Read a body of at most `cap` bytes.

    Raises:
        BodyTooLarge: it says so itself, or more bytes than that have come.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > len(str(cap)) or int(declared) > cap):
        raise BodyTooLarge(cap)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > cap:
            raise BodyTooLarge(cap)
        parts.append(part)
    return b"".join(parts)


log = logging.getLogger("tracecore.server")

OPEN_PATHS = frozenset({"/health"})
READERS = frozenset({Role.AUDITOR, Role.ADMIN})
_AT_ONCE = 4
"""Questions answered at one time; the rest wait. A trace is work for one core, and a database has few connections."""
_TOKENS_AT_ONCE = 4
"""Tokens looked up at one time, in threads of their own: however slow the questions are, a token is known at once."""


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """A GraphQL request as its body says it."""

    document: str
    variables: Mapping[str, Any]
    operation: str | None


class BadRequest(Exception):
    """A body that is no GraphQL request; the message says what was expected."""


class TokenGate:
    """Lets nobody past without a valid token, but to `/health`; unknown paths are answered like all others, so that nothing can be probed."""

    def __init__(self, app: ASGIApp, tokens: TokenStore) -> None:
        self.app = app
        self.tokens = tokens
        self._limiter = CapacityLimiter(_TOKENS_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in OPEN_PATHS):
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        scheme, _, text = Request(scope).headers.get("authorization", "").partition(" ")
        given = text.strip() if scheme.lower() == "bearer" else ""
        token = await to_thread.run_sync(self.tokens.find, given, limiter=self._limiter) if given else None
        if token is None:
            answer = _problem(401, "A valid token is needed: send 'Authorization: Bearer <token>'; 'tracecore token create auditor' makes one.")
            answer.headers["WWW-Authenticate"] = 'Bearer realm="tracecore"'
            await answer(scope, receive, send)
            return
        scope.setdefault("state", {})["role"] = token.role
        await self.app(scope, receive, send)


def application(record: AuditSource, tokens: TokenStore, *, limits: Limits = DEFAULT_LIMITS) -> Starlette:
    """Make the server's application.

    Args:
        record: the record to answer from; asked from worker threads.
        tokens: who may ask.
        limits: bounds of one request.
    """
    places = ThreadSlots(_AT_ONCE)

    async def health(_request: Request) -> Response:
        return _json(200, {"status": "ok"})

    async def graphql(request: Request) -> Response:
        try:
            async with asyncio.timeout(limits.seconds):
                body = await read_body(request, limits.body_bytes)
        except TimeoutError:
            return _problem(408, f"The body did not arrive within {limits.seconds:g} s.")
        asked = await run_in_threadpool(_read_request, request.headers.get("content-type", ""), body)
        question = partial(ask, record, asked.document, asked.variables, asked.operation, limits=limits)
        try:
            answer: Answer = await places.run(question, seconds=limits.seconds + 1)
        except StillRunning:
            return _problem(503, f"The request took longer than {limits.seconds:g} s; ask for less, or in several requests.")
        except Busy:
            return _later(f"The server was busy with other questions for {limits.seconds:g} s; ask again later.")
        return _json(200 if answer.accepted else 400, answer.body)

    app = Starlette(
        routes=[
            Route("/health", health, methods=["GET"]),
            Route("/graphql", _for_roles(READERS, graphql), methods=["POST"]),
        ],
        exception_handlers={BodyTooLarge: _too_large, BadRequest: _bad_request, 404: _not_found, 405: _not_allowed, Exception: _unexpected},
    )
    app.add_middleware(TokenGate, tokens=tokens)
    return app


def _for_roles(roles: frozenset[Role], endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Answer 403 to a token of another role."""

    async def guarded(request: Request) -> Response:
        role = request.state.role
        if role not in roles:
            wanted = " or ".join(f"'{role}'" for role in sorted(roles))
            return _problem(403, f"A token of the role '{role}' may not do this; it takes {wanted}.")
        return await endpoint(request)

    return guarded


def _read_request(content_type: str, body: bytes) -> GraphQLRequest:
    """Read the body of a GraphQL request.

    Raises:
        BadRequest: it is none.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise BadRequest("Expected the content type 'application/json'.")
    try:
        value = loads_strict(body)
    except StrictJSONError as error:
        raise BadRequest(f"The body is no JSON: {error}.") from error
    if not isinstance(value, dict):
        raise BadRequest("Expected a JSON object with the key 'query'; several requests in one body are not taken.")
    document, variables, operation = value.get("query"), value.get("variables"), value.get("operationName")
    if not isinstance(document, str):
        raise BadRequest("Expected a JSON object with the key 'query', a GraphQL document.")
    if not isinstance(variables, dict | None) or not isinstance(operation, str | None):
        raise BadRequest("Expected 'variables' to be an object and 'operationName' a text, where they are given.")
    return GraphQLRequest(document, variables or {}, operation)


def _problem(status: int, message: str) -> JSONResponse:
    """Return an error in the one form that all answers have."""
    return _json(status, {"errors": [{"message": message}]})


def _later(message: str) -> JSONResponse:
    """Return an error that says when to ask again."""
    answer = _problem(503, message)
    answer.headers["Retry-After"] = "5"
    return answer


def _json(status: int, body: Any) -> JSONResponse:
    """Return a JSON answer that nobody on the way may keep or take for anything else."""
    return JSONResponse(body, status_code=status, headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})


async def _too_large(_request: Request, error: Exception) -> Response:
    return _problem(413, str(error))


async def _bad_request(_request: Request, error: Exception) -> Response:
    return _problem(400, str(error))


async def _not_found(request: Request, _error: Exception) -> Response:
    return _problem(404, f"Nothing is at {request.url.path}; ask POST /graphql.")


async def _not_allowed(request: Request, error: Exception) -> Response:
    response = _problem(405, f"{request.url.path} does not take {request.method}.")
    response.headers.update(getattr(error, "headers", None) or {})
    return response


async def _unexpected(_request: Request, _error: Exception) -> Response:
    # Starlette's outermost middleware logs the traceback when it raises the error again.
    return _problem(500, "Something went wrong on the server; its log has it.")
