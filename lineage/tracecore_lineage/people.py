"""Who is behind a pseudonym. The ledger holds pseudonyms alone; this table resolves them and can be deleted from."""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, delete, insert, select

from tracecore_lineage.tables import PERSONS

__all__ = ["forget", "pseudonym_of", "resolve"]


def pseudonym_of(connection: Connection, name: str) -> str:
    """Give a person's pseudonym; a random one is made for a name not seen before. Needs a writing transaction."""
    found = connection.execute(select(PERSONS.c.pseudonym).where(PERSONS.c.name == name)).scalar_one_or_none()
    if found is not None:
        return str(found)
    made = f"person-{secrets.token_hex(8)}"
    connection.execute(insert(PERSONS).values(pseudonym=made, name=name))
    return made


def resolve(connection: Connection, pseudonym: str) -> str | None:
    """Give the name behind a pseudonym; None where it was never known here, or was deleted."""
    return connection.execute(select(PERSONS.c.name).where(PERSONS.c.pseudonym == pseudonym)).scalar_one_or_none()


def forget(connection: Connection, name: str) -> bool:
    """Delete what resolves a person's pseudonym; the pseudonym stays in the ledger and means nobody from here on. Needs a writing transaction."""
    return connection.execute(delete(PERSONS).where(PERSONS.c.name == name)).rowcount > 0
