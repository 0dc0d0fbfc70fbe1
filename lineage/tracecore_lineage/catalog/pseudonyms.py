"""Names of persons by pseudonym. The ledger contains only pseudonyms; rows of this table can be deleted.

A pseudonym is a salted hash of the name, so a changed name is detected, and once name and salt are deleted the name can't be guessed from it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING

import rfc8785
from sqlalchemy import Connection, delete, insert, select

from tracecore.errors import NegativeVerdict, UsageError
from tracecore_lineage.ledger.sql_tables import PERSONS
from tracecore_schemas.canonical import digest_json, hex_of

if TYPE_CHECKING:
    from tracecore_lineage.model.findings import Findings

__all__ = ["check_names", "commitment", "display_name", "forget", "invalid_names", "known", "person_of", "pseudonym_of"]

_DIGITS = 32


def commitment(salt: str, name: str) -> str:
    """Return the pseudonym of a person: `person-` and 32 hex digits from the SHA-256 of salt and name (docs/formats/events.md)."""
    committed = digest_json({"v": 1, "type": "tracecore.person", "salt": salt, "name": name})
    return f"person-{hex_of(committed)[:_DIGITS]}"


def pseudonym_of(connection: Connection, name: str) -> str:
    """Return the pseudonym of a person's name, inserting a new one if the name has none yet. Needs a writing transaction.

    Raises NegativeVerdict if the stored name does not match its pseudonym, UsageError if the name is not valid Unicode text.
    """
    salt = secrets.token_hex(16)
    try:
        made = commitment(salt, name)
    except rfc8785.CanonicalizationError as error:
        raise UsageError(f"A name can't be recorded: {error}.") from None
    for found in connection.execute(select(PERSONS).where(PERSONS.c.name == name)).all():  # several where the constraints were dropped
        if not _matches(found.pseudonym, found.salt, found.name):
            raise NegativeVerdict(
                f"The name kept for {found.pseudonym} is not the one it commits to, so {name!r} gets no pseudonym: run 'tracecore verify'."
            )
        return str(found.pseudonym)
    connection.execute(insert(PERSONS).values(pseudonym=made, salt=salt, name=name))
    return made


def person_of(connection: Connection, pseudonym: str) -> str | None:
    """Return the name of the person with a pseudonym; None if no name is stored (any more) or it does not match the pseudonym."""
    rows = connection.execute(select(PERSONS).where(PERSONS.c.pseudonym == pseudonym)).all()
    return next((row.name for row in rows if _matches(row.pseudonym, row.salt, row.name)), None)


def display_name(connection: Connection, pseudonym: str) -> str:
    """Return the text to show for a person's pseudonym: the name, or the pseudonym with the reason why there is no name."""
    name = person_of(connection, pseudonym)
    if name is not None:
        return name
    stored = connection.execute(select(PERSONS.c.pseudonym).where(PERSONS.c.pseudonym == pseudonym)).first() is not None
    return f"{pseudonym} ({'NAME NOT VALID: tracecore verify says more' if stored else 'unresolvable'})"


def known(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield (pseudonym, person's name) of each row whose name and salt match the pseudonym, sorted by pseudonym."""
    for row in connection.execute(select(PERSONS).order_by(PERSONS.c.pseudonym)):
        if _matches(row.pseudonym, row.salt, row.name):
            yield row.pseudonym, row.name


def check_names(connection: Connection, findings: Findings) -> None:
    """Add a failure to `findings` for each pseudonym that does not match the name and salt stored with it."""
    for pseudonym in invalid_names(connection):
        findings.fail(pseudonym, "name of a person", "the name that the pseudonym commits to, or none", "another name or salt")


def invalid_names(connection: Connection) -> list[str]:
    """Return, sorted, the pseudonyms that do not match the name and salt stored with them."""
    rows = connection.execute(select(PERSONS).order_by(PERSONS.c.pseudonym))
    return [str(row.pseudonym) for row in rows if not _matches(row.pseudonym, row.salt, row.name)]


def forget(connection: Connection, pseudonym: str) -> bool:
    """Delete the stored name and salt of a pseudonym; return whether any were stored. Needs a writing transaction."""
    return connection.execute(delete(PERSONS).where(PERSONS.c.pseudonym == pseudonym)).rowcount > 0


def _matches(pseudonym: str, salt: str, name: str) -> bool:
    """Whether `pseudonym` is the one computed from a salt and a person's name."""
    try:
        return commitment(salt, name) == pseudonym
    except rfc8785.CanonicalizationError:  # not text that this module wrote
        return False
