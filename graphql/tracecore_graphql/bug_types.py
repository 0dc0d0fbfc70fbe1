"""Reported bugs, as GraphQL types."""

from __future__ import annotations

import strawberry

from tracecore_graphql.described import output_type
from tracecore_schemas import bug as shapes

__all__ = ["Bug", "bug_of"]


@output_type
class Bug:
    """A perception bug, as it was reported: a node of the record like the build and the frames it is about."""

    id: strawberry.ID = strawberry.field(description="12 hex digits of its content's SHA-256")
    ref: str = strawberry.field(description="`bug/<id>`, for `trace` and `impact`")
    text: str
    build: str | None = strawberry.field(description="whole ref of the build it was seen in")
    frames: list[str] = strawberry.field(description="refs of the frames that show it")
    severity: str | None = strawberry.field(description="`low`, `medium`, `high` or `critical`, as its reporter judges it")
    reporter: str | None = strawberry.field(description="pseudonym of who reported it")
    reported_at: str = strawberry.field(description="eventTime of the report: shown, never trusted")
    run: str = strawberry.field(description="id of the run that recorded it")


def bug_of(bug: shapes.Bug) -> Bug:
    """Give a reported bug as its GraphQL type."""
    return Bug(
        id=strawberry.ID(bug.id),
        ref=bug.ref,
        text=bug.text,
        build=bug.build,
        frames=list(bug.frames),
        severity=bug.severity,
        reporter=bug.reporter,
        reported_at=bug.reported_at,
        run=bug.run,
    )
