"""Sealed builds and the plugins seen in the record, as GraphQL types."""

from __future__ import annotations

import strawberry

from tracecore_graphql.described import output_type
from tracecore_graphql.scalars import JSON
from tracecore_schemas.build import SealedBuild

__all__ = ["Build", "Plugin", "build_of"]


@output_type
class Build:
    """A sealed build: written once, signed, and naming the prefix of the ledger that it stands on."""

    name: str
    ref: str = strawberry.field(description="`build/<name>@` and the digest of its DSSE payload")
    position: int = strawberry.field(description="size of the ledger before the release run's COMPLETE")
    content_digest: str = strawberry.field(description="over program, artifacts, gates, waivers and approver")
    statement: JSON = strawberry.field(description="the in-toto Statement v1; its predicate holds artifacts, gates, waivers and approver")
    envelope: JSON = strawberry.field(description="the DSSE envelope as it was signed")


@output_type
class Plugin:
    """The code of a plugin as recorded runs ran it: one version with one source digest."""

    ref: str = strawberry.field(description="`plugin/<entry point>@<version>`")
    name: str = strawberry.field(description="entry point")
    distribution: str
    version: str
    source_digest: str
    stages: list[str]
    runs: int = strawberry.field(description="how many recorded runs ran it")


def build_of(sealed: SealedBuild) -> Build:
    """Give a sealed build as its GraphQL type."""
    return Build(
        name=sealed.name,
        ref=sealed.ref,
        position=sealed.position,
        content_digest=sealed.content_digest,
        statement=JSON(sealed.statement),
        envelope=JSON(sealed.envelope),
    )
