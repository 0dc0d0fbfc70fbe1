"""Tokens of the audit server and their roles.

Only their hashes are kept, in `access/tokens.json` of the workspace, outside the record: deleting the file revokes all tokens. A token has 256
random bits, so its plain SHA-256 can't be reversed by guessing.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from tracecore.errors import UsageError
from tracecore.files import write_durably
from tracecore.system.locks import hold_named
from tracecore.workspace import Workspace

__all__ = ["LIFETIME", "Role", "Token", "TokenStore"]

LIFETIME = timedelta(days=90)
_PREFIX = "tcr_"
_FORMAT = 1


class Role(StrEnum):
    """Permissions of a token: `producer` sends events, `auditor` reads, `admin` does both."""

    PRODUCER = "producer"
    AUDITOR = "auditor"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Token:
    """A stored token without its text, only the text's SHA-256 in hex; `id` has eight hex digits, times are RFC 3339 in UTC."""

    id: str
    role: Role
    sha256: str
    created_at: str
    expires_at: str
    revoked_at: str | None = None

    def state(self, now: datetime) -> str:
        """Return `valid`, `expired` or `revoked`: the state of the access token at the time `now`."""
        if self.revoked_at is not None:
            return "revoked"
        return "valid" if now < datetime.fromisoformat(self.expires_at) else "expired"


class TokenStore:
    """The tokens of one workspace; `clock` returns the current time."""

    def __init__(self, workspace: Workspace, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._folder = workspace.root / "access"
        self._file = self._folder / "tokens.json"
        self._clock = clock
        self._seen: tuple[tuple[int, int, int], dict[str, Token]] | None = None

    def create(self, role: Role, expires: datetime | None = None) -> str:
        """Create an access token that expires at `expires` (by default in 90 days) and return its secret text, of which only the hash is stored.

        Raises UsageError if the expiry is in the past or the workspace can't be written.
        """
        now = self._clock()
        expires = expires or now + LIFETIME
        if expires <= now:
            raise UsageError(f"A token that expires at {expires.isoformat()} would never be valid: it is {now.isoformat(timespec='seconds')} now.")
        text = _PREFIX + secrets.token_urlsafe(32)
        token = Token(secrets.token_hex(4), role, _hash(text), now.isoformat(), expires.astimezone(UTC).isoformat())
        self._change_file(lambda tokens: (*tokens, token))
        return text

    def revoke(self, token_id: str) -> Token:
        """Mark the access token with an id as revoked, and return the token as it was before the change; raise UsageError if no token has that id."""
        known = {token.id: token for token in self.all()}
        if token_id not in known:
            raise UsageError(f"There is no token {token_id!r}. 'tracecore token list' shows the ids.")
        now = self._clock().isoformat()
        self._change_file(lambda tokens: tuple(replace(t, revoked_at=t.revoked_at or now) if t.id == token_id else t for t in tokens))
        return known[token_id]

    def all(self) -> tuple[Token, ...]:
        """Return all access tokens, oldest first; raise UsageError if the token file is damaged."""
        return tuple(self._tokens_by_hash().values())

    def find(self, text: str) -> Token | None:
        """Return the access token with a given secret text; None if it does not exist, has expired or was revoked."""
        found = self._tokens_by_hash().get(_hash(text))  # timing may reveal only the hash, which can't be reversed
        return found if found is not None and found.state(self._clock()) == "valid" else None

    def _tokens_by_hash(self) -> dict[str, Token]:
        """Return all access tokens by the SHA-256 of their secret text; the token file is read again if it has changed."""
        try:
            stat = self._file.stat()
        except FileNotFoundError:
            return {}
        stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        seen = self._seen
        if seen is None or seen[0] != stamp:
            self._seen = seen = (stamp, {token.sha256: token for token in self._read_file()})
        return seen[1]

    def _read_file(self) -> tuple[Token, ...]:
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
            return tuple(Token(**{**item, "role": Role(item["role"])}) for item in kept["tokens"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UsageError(f"The token file {self._file} can't be read ({error}). Delete it and make new tokens.") from error

    def _change_file(self, change: Callable[[tuple[Token, ...]], tuple[Token, ...]]) -> None:
        """Replace the tokens in the token file by `change(tokens)`, under a lock; raise UsageError if the file can't be written."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with hold_named(self._folder, "tokens"):
                tokens = change(self.all())
                body = json.dumps({"format": _FORMAT, "tokens": [asdict(token) for token in tokens]}, indent=1)
                write_durably(self._file, body.encode() + b"\n", mode=0o600)
        except OSError as error:
            raise UsageError(f"The token file {self._file} can't be written: {error.strerror or error}.") from error


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
