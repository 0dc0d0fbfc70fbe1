"""Ed25519 signing keys of a workspace, in its folder `keys/`.

Layout: `keys/ed25519-<hex>.pem` (private, PKCS #8, mode 0600), `keys/ed25519-<hex>.pub` (public, PEM; kept for all keys ever used), `keys/active`
(id of the signing key), `keys/joining` (id of a further host's key until the ledger names it and it is active). A key's id is `ed25519:` and the
SHA-256 of its DER SubjectPublicKeyInfo, 64 hex digits.
"""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from tracecore.errors import UsageError
from tracecore.files import fsync_folder, write_durably
from tracecore.system.failures import clear_disk_errors
from tracecore.system.locks import hold_named
from tracecore.workspace import Workspace
from tracecore_lineage.model.values import short_id

__all__ = ["KeyRing", "PrivateKey", "PublicKey", "readable_keys", "short_id"]

_ACTIVE = "active"
_JOINING = "joining"
_REMEDY = "restore it, or sign with a new one from here on ('tracecore key rotate')"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An Ed25519 public key: 32 raw bytes."""

    raw: bytes

    @property
    def id(self) -> str:
        """The key's id: `ed25519:` and the SHA-256 of its DER SubjectPublicKeyInfo in hex."""
        return f"ed25519:{hashlib.sha256(self._key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()}"

    @property
    def file_name(self) -> str:
        """The name of the key's files without suffix: its id with `-` for `:`."""
        return self.id.replace(":", "-")

    @property
    def pem(self) -> str:
        """The public key as PEM SubjectPublicKeyInfo."""
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    @property
    def _key(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(self.raw)

    def note_hash(self, name: str) -> bytes:
        """Return the 4 bytes that identify this key in a C2SP note signed as `name`: from SHA-256 of name, newline, algorithm byte and raw key."""
        return hashlib.sha256(name.encode() + b"\n\x01" + self.raw).digest()[:4]

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether `signature` is a valid signature by this key over `data`."""
        try:
            self._key.verify(signature, data)
        except InvalidSignature:
            return False
        return True

    def verifier(self) -> Any:
        """Return the public key as a `securesystemslib` key, which verifies DSSE envelopes."""
        from securesystemslib.signer import SSlibKey

        return SSlibKey.from_crypto(self._key, keyid=self.id)

    @classmethod
    def from_pem(cls, data: bytes, source: str) -> PublicKey:
        """Return the public key in PEM bytes; `source` names them in errors. Raises UsageError if they contain no Ed25519 public key."""
        try:
            key = load_pem_public_key(data.removeprefix(codecs.BOM_UTF8))
        except (ValueError, UnsupportedAlgorithm) as error:
            raise UsageError(f"{source} holds no public key in PEM form ({error}): give a file written by 'tracecore key export'.") from None
        if not isinstance(key, Ed25519PublicKey):
            raise UsageError(f"{source} holds a {type(key).__name__}, expected an Ed25519 public key: give a file written by 'tracecore key export'.")
        return cls(key.public_bytes_raw())


class PrivateKey:
    """An Ed25519 signing key with its public half, `public`."""

    __slots__ = ("_key", "public")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key().public_bytes_raw())

    def sign(self, data: bytes) -> bytes:
        """Return this key's 64-byte Ed25519 signature of `data`."""
        return self._key.sign(data)

    def signer(self) -> Any:
        """Return the private key as a `securesystemslib` signer of DSSE envelopes."""
        from securesystemslib.signer import CryptoSigner

        return CryptoSigner(self._key, self.public.verifier())

    def pem(self) -> bytes:
        """Return the private key as unencrypted PKCS #8 in PEM."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @classmethod
    def from_pem(cls, data: bytes, source: str) -> PrivateKey:
        """Return the private key in PKCS #8 PEM; `source` names the PEM in errors. Raises UsageError if it isn't an unencrypted Ed25519 key."""
        advice = "give a file written by 'tracecore key new'"
        try:
            key = load_pem_private_key(data.removeprefix(codecs.BOM_UTF8), password=None)
        except TypeError:
            raise UsageError(f"{source} is protected by a pass phrase, which can't be asked for here: {advice}.") from None
        except (ValueError, UnsupportedAlgorithm) as error:
            raise UsageError(f"{source} holds no private key in PEM form ({str(error).partition('(')[0].strip()}): {advice}.") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise UsageError(f"{source} holds a {type(key).__name__}, expected an Ed25519 private key: {advice}.")
        return cls(key)

    @classmethod
    def generate(cls) -> PrivateKey:
        """Return a new random Ed25519 private key."""
        return cls(Ed25519PrivateKey.generate())


def readable_keys(folder: Path) -> Iterator[PublicKey]:
    """Yield the public keys in a folder's `.pub` files, sorted by file name; unreadable files are skipped (`verify` reports them)."""
    for path in sorted(folder.glob("*.pub")):
        try:
            yield PublicKey.from_pem(path.read_bytes(), str(path))
        except (UsageError, OSError):
            continue


class KeyRing:
    """The keys of one workspace, stored in its folder `keys/`."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.folder = workspace.keys
        self._loaded: PrivateKey | None = None

    def active_id(self) -> str | None:
        """Return the id of the active key, which signs; None before the first key is made."""
        return self._named(_ACTIVE)

    def joining(self) -> PublicKey | None:
        """Return this host's public key while it waits for a ledger event that names it, before which it may not sign; None if no key waits."""
        waiting = self._named(_JOINING)
        return None if waiting is None else next((key for key in self.public_keys() if key.id == waiting), None)

    def _named(self, file: str) -> str | None:
        """Return the key id in a file of the key folder; None if there is no such file. Raises UsageError if the file is damaged or can't be read."""
        try:
            return (self.folder / file).read_text(encoding="ascii").strip()
        except UnicodeDecodeError:
            raise UsageError(f"{self.folder / file} is damaged: expected the id of the key that signs; {_REMEDY}.") from None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UsageError(f"The signing keys in {self.folder} can't be read: {error.strerror or error}.") from error

    def public_keys(self) -> list[PublicKey]:
        """Return every public key in the workspace's key folder, the active one first."""
        active = self.active_id()
        found = [PublicKey.from_pem(path.read_bytes(), str(path)) for path in sorted(self.folder.glob("*.pub"))]
        return sorted(found, key=lambda key: key.id != active)

    def ensure(self) -> PublicKey:
        """Return the active public key, making the first key if the ledger is new. Raises UsageError if it can't sign (see `private`)."""
        return self.private().public

    def private(self) -> PrivateKey:
        """Return the active private key, which signs, reloading it if another process changed it; makes the first key if the ledger is new.

        Raises UsageError if no key is active although the ledger has events, or the private key's file is missing or can't be read.
        """
        active = self.active_id() or self._first()
        if self._loaded is None or self._loaded.public.id != active:
            self._loaded = self._load(active)
        return self._loaded

    def add(self, key: PrivateKey) -> None:
        """Write the private and public file of a key durably, without making it the active key."""
        with clear_disk_errors(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_durably(self.folder / f"{key.public.file_name}.pem", key.pem(), mode=0o600)
            write_durably(self.folder / f"{key.public.file_name}.pub", key.public.pem.encode())

    def activate(self, key_id: str) -> None:
        """Make a stored key the active one, which signs; afterwards no key of this host counts as waiting to be named by the ledger."""
        with clear_disk_errors(self.folder):
            write_durably(self.folder / _ACTIVE, key_id.encode() + b"\n")
            (self.folder / _JOINING).unlink(missing_ok=True)

    def join(self) -> PublicKey:
        """Return the public key with which this host joins an existing ledger, generated if needed; it may sign after a ledger event names it."""
        with clear_disk_errors(self.folder):
            waiting = self.joining()
            if waiting is None:
                key = PrivateKey.generate()
                self.add(key)
                write_durably(self.folder / _JOINING, key.public.id.encode() + b"\n")
                waiting = key.public
        return waiting

    def refuse_joining(self) -> None:
        """Raise UsageError if this host has a key that no ledger event names yet, so that the host must not sign."""
        waiting = self.joining()
        if waiting is not None:
            raise UsageError(
                f"This host's key {short_id(waiting.id)} is not recorded in the ledger yet, so that nothing can be signed here: run "
                f"'tracecore key add {self.folder / waiting.file_name}.pub' on a host that signs."
            )

    def changing(self) -> AbstractContextManager[bool]:
        """Return a context manager (yields True) that locks key rotation, so that concurrent rotations activate keys in the order of their events.

        This lock is not the one for generating the first key, which a signer takes while it has the ledger's write lock.
        """
        return hold_named(self._workspace.locks, "rotation")

    def _first(self) -> str:
        """Generate and activate the first key under a lock, and return its id; if another process did so before, return the id of that key.

        Raises UsageError if the ledger already has events, or this host's key waits to be named by one.
        """
        self.refuse_joining()
        if self._workspace.binding() is not None:
            raise UsageError(f"No signing key is active in {self.folder}, although the ledger has begun: {_REMEDY}.")
        with clear_disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            with hold_named(self._workspace.locks, "keys"):
                found = self.active_id()
                if found is not None:
                    return found
                key = PrivateKey.generate()
                self.add(key)
                self.activate(key.public.id)
                return key.public.id

    def _load(self, key_id: str) -> PrivateKey:
        """Return the private key with an id from its file. Raises UsageError if the file is missing or damaged, or contains another key."""
        path = self.folder / f"{key_id.replace(':', '-')}.pem"
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except FileNotFoundError:
            raise UsageError(f"The private key {path} is missing, so that nothing can be signed: {_REMEDY}.") from None
        except OSError as error:
            raise UsageError(f"The private key {path} can't be read: {error.strerror or error}.") from error
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise UsageError(f"The private key {path} is damaged ({error}): restore it, or sign with a new one ('tracecore key rotate').") from error
        if not isinstance(key, Ed25519PrivateKey) or PrivateKey(key).public.id != key_id:
            raise UsageError(
                f"The private key {path} is another key than its name says: restore it, or sign with a new one ('tracecore key rotate')."
            )
        with clear_disk_errors(self.folder):
            fsync_folder(self.folder)  # the process that made the key may have been killed before its fsync: a signature must not outlive its key
        return PrivateKey(key)
