"""Audit server: a Starlette application over the record of one workspace, with worker threads in bounded number."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tracecore_graphql.limits import DEFAULT_LIMITS, Limits
from tracecore_graphql.schema import ask
from tracecore_graphql.tokens import Role, TokenStore
from tracecore_schemas.strict_json import StrictJSONError, loads_strict

if TYPE_CHECKING:
    from tracecore_lineage import Record

__all__ = ["application"]

T = TypeVar("T")


class Busy(Exception):
    """No slot became free in time; the work was not started."""


class StillRunning(Exception):
    """The work did not end in time; it continues and keeps its slot until it ends."""


class ThreadSlots:
    """A bounded number of worker threads; further work waits for a slot.

    A thread can't be stopped. If a request that timed out freed its slot, threads of slow requests would accumulate without bound.
    """

    def __init__(self, count: int) -> None:
        self._limiter = CapacityLimiter(count)
        self._working: set[asyncio.Task[object]] = set()  # the event loop itself keeps only weak references to tasks

    async def run(self, work: Callable[[], T], *, seconds: float) -> T:
        """Run a function in one of a limited number of worker threads and return its result.

        Raises Busy, without calling the function, if no thread is free within `seconds`; StillRunning if the function has not ended by then.
        """
        begun = False

        def begin() -> T:
            nonlocal begun
            begun = True
            return work()

        task = asyncio.ensure_future(to_thread.run_sync(begin, limiter=self._limiter))
        self._working.add(task)
        task.add_done_callback(self._discard_task)
        try:
            done, _ = await asyncio.wait({task}, timeout=seconds)
        except asyncio.CancelledError:
            if not begun:
                task.cancel()
            raise
        if done:
            return task.result()
        if begun:
            raise StillRunning
        task.cancel()
        raise Busy

    def _discard_task(self, task: asyncio.Task[object]) -> None:
        self._working.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not log it as never retrieved


OPEN_PATHS = frozenset({"/health"})
READERS = frozenset({Role.AUDITOR, Role.ADMIN})
_QUESTIONS_AT_ONCE = 4
"""Maximum number of requests executed at the same time; others wait. A trace uses one core, and a database has few connections."""
_TOKENS_AT_ONCE = 4
"""Maximum number of token lookups at the same time; they have their own threads, so that slow requests don't delay them."""


class TokenGate:
    """ASGI middleware that refuses requests without a valid token, except to `/health`; also to unknown paths, so that none can be probed."""

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
            message = "A valid token is needed: send 'Authorization: Bearer <token>'; 'tracecore token create auditor' makes one."
            await _problem(401, message, {"WWW-Authenticate": 'Bearer realm="tracecore"'})(scope, receive, send)
            return
        scope.setdefault("state", {})["role"] = token.role
        await self.app(scope, receive, send)


def application(record: Record, tokens: TokenStore, *, limits: Limits = DEFAULT_LIMITS) -> Starlette:
    """Return a Starlette application that answers GraphQL queries to `record` for tokens of auditors and admins, in worker threads."""
    slots = ThreadSlots(_QUESTIONS_AT_ONCE)

    async def health(_request: Request) -> Response:
        return _json(200, {"status": "ok"})

    async def graphql(request: Request) -> Response:
        if request.state.role not in READERS:
            wanted = " or ".join(f"'{role}'" for role in sorted(READERS))
            raise HTTPException(403, f"A token of the role '{request.state.role}' may not do this; it takes {wanted}.")
        try:
            async with asyncio.timeout(limits.seconds):
                body = await _read_body(request, limits.body_bytes)
        except TimeoutError:
            raise HTTPException(408, f"The body did not arrive within {limits.seconds:g} s.") from None
        document, variables, operation = await run_in_threadpool(_read_request, request.headers.get("content-type", ""), body)
        try:
            answer = await slots.run(partial(ask, record, document, variables, operation, limits=limits), seconds=limits.seconds + 1)
        except StillRunning:
            raise HTTPException(503, f"The request took longer than {limits.seconds:g} s; ask for less, or in several requests.") from None
        except Busy:
            message = f"The server was busy with other questions for {limits.seconds:g} s; ask again later."
            raise HTTPException(503, message, {"Retry-After": "5"}) from None
        return _json(200 if answer.accepted else 400, answer.body)

    app = Starlette(
        routes=[Route("/health", health, methods=["GET"]), Route("/graphql", graphql, methods=["POST"])],
        exception_handlers={HTTPException: _error_response, Exception: _internal_error_response},
    )
    app.add_middleware(TokenGate, tokens=tokens)
    return app


async def _read_body(request: Request, cap: int) -> bytes:
    """Return the body of an HTTP request; raise HTTPException 413 if its declared or received length exceeds `cap` bytes."""
    declared = request.headers.get("content-length", "")
    too_large = HTTPException(413, f"The body is larger than {cap} bytes.")
    if declared.isdecimal() and (len(declared) > len(str(cap)) or int(declared) > cap):
        raise too_large
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > cap:
            raise too_large
    return bytes(body)


def _read_request(content_type: str, body: bytes) -> tuple[str, Mapping[str, Any], str | None]:
    """Return (document, variables, operation name or None) of a GraphQL request; raise HTTPException 400 if content type or body are wrong."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(400, "Expected the content type 'application/json'.")
    try:
        value = loads_strict(body)
    except StrictJSONError as error:
        raise HTTPException(400, f"The body is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise HTTPException(400, "Expected a JSON object with the key 'query'; several requests in one body are not accepted.")
    document, variables, operation = value.get("query"), value.get("variables"), value.get("operationName")
    if not isinstance(document, str):
        raise HTTPException(400, "Expected a JSON object with the key 'query', a GraphQL document.")
    if not isinstance(variables, dict | None) or not isinstance(operation, str | None):
        raise HTTPException(400, "Expected 'variables' to be an object and 'operationName' a string, where they are given.")
    return document, variables or {}, operation


def _problem(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return an HTTP error response with the JSON body `{"errors": [{"message": …}]}`."""
    return _json(status, {"errors": [{"message": message}]}, headers)


def _json(status: int, body: Any, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return a JSON response with headers that forbid caching by proxies and guessing of the content type by browsers."""
    return JSONResponse(body, status, {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **(headers or {})})


async def _error_response(request: Request, error: Exception) -> Response:
    """Return the JSON error response for an HTTPException, with a message that names the path if path or method is wrong (404, 405)."""
    assert isinstance(error, HTTPException), "registered for HTTPException"
    routed = {404: f"Nothing is at {request.url.path}; ask POST /graphql.", 405: f"{request.url.path} does not take {request.method}."}
    return _problem(error.status_code, routed.get(error.status_code, error.detail), error.headers)


async def _internal_error_response(_request: Request, _error: Exception) -> Response:
    # Starlette's outermost middleware logs the traceback when it raises the error again.
    return _problem(500, "Something went wrong on the server; its log has it.")
