"""Reading a request's body without ever holding more of it than is allowed."""

from __future__ import annotations

from starlette.requests import Request

__all__ = ["BodyTooLarge", "read_body"]


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
