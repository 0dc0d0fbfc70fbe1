"""Access to an S3-compatible bucket: settings (URL, `AWS_*` variables), clients for objects and for Arrow, and error messages."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tracecore.errors import UsageError
from tracecore.system.failures import causes, clear_errors

__all__ = ["BlobBackend"]

if TYPE_CHECKING:
    from obstore.store import S3Store
    from pyarrow.fs import FileSystem

_CONNECT = timedelta(seconds=5)
_ANSWER = timedelta(seconds=60)
_RETRY: Any = {"max_retries": 4, "retry_timeout": timedelta(seconds=30), "backoff": {"init_backoff": timedelta(milliseconds=100), "base": 2}}
_TRUE = frozenset({"1", "true", "yes", "on"})


_NO_BUCKET = ("nosuchbucket", "the specified bucket does not exist", "bucket does not exist")
_FORBIDDEN = ("accessdenied", "access denied", "invalidaccesskeyid", "signaturedoesnotmatch", "403 forbidden", "401 unauthorized", "permissiondenied")
_UNREACHED = (
    "error sending request", "connection refused", "connect error", "dns error", "timed out", "timeout", "connection reset", "network_connection",
    "connection closed", "broken pipe", "service unavailable", "internal server error", "502 bad gateway",
)  # fmt: skip
_OURS = ("generic s3 error", "aws error", "error performing", "s3 error", "object at location")


@dataclass(frozen=True, slots=True)
class BlobBackend:
    """One prefix of a bucket on an S3-compatible server; another type of server would be another class with the same members.

    Attributes:
        prefix: without leading and trailing slashes; empty for the whole bucket.
        endpoint: URL of the server; None for AWS.
        access_key: None if the machine has a role.
        virtual_hosted: whether the bucket's name is part of the host name instead of the path.
    """

    bucket: str
    prefix: str
    endpoint: str | None = None
    region: str = "us-east-1"
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    virtual_hosted: bool = False

    @property
    def url(self) -> str:
        """The store's URL, `s3://<bucket>/<prefix>`."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def where(self) -> str:
        """The store's URL and endpoint, for error messages."""
        return f"{self.url} at {self.endpoint}" if self.endpoint else self.url

    @classmethod
    def of(cls, url: str, environment: Mapping[str, str] | None = None) -> BlobBackend:
        """Return access to a store URL's bucket, set up by `AWS_*` variables; raises UsageError for invalid variables or a missing client package."""
        try:
            import obstore  # noqa: F401  # an extra: a store in the workspace does not need it
        except ModuleNotFoundError:
            raise UsageError(f'The store {url} needs another package: pip install "tracecore[s3]".') from None
        env = os.environ if environment is None else environment
        parts = urlsplit(url)
        endpoint = env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or None
        if endpoint is not None:
            _check_endpoint(endpoint, env)
        key, secret = env.get("AWS_ACCESS_KEY_ID") or None, env.get("AWS_SECRET_ACCESS_KEY") or None
        if (key is None) != (secret is None):
            lacking = "AWS_SECRET_ACCESS_KEY" if secret is None else "AWS_ACCESS_KEY_ID"
            raise UsageError(f"The store {url} needs both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or neither: set {lacking}.")
        return cls(
            bucket=parts.netloc,
            prefix=parts.path.strip("/"),
            endpoint=endpoint.rstrip("/") if endpoint else None,
            region=env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "us-east-1",
            access_key=key,
            secret_key=secret,
            session_token=env.get("AWS_SESSION_TOKEN") or None,
            virtual_hosted=env.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "").lower() in _TRUE or endpoint is None,
        )

    def objects(self) -> S3Store:
        """Return an obstore client for the objects below the store's prefix; the server verifies the SHA-256 of each upload."""
        from obstore.store import S3Store

        named = {
            "endpoint": self.endpoint,
            "access_key_id": self.access_key,
            "secret_access_key": self.secret_key,
            "session_token": self.session_token,
        }
        config: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
        return S3Store(
            self.bucket,
            prefix=self.prefix or None,
            client_options={
                "allow_http": bool(self.endpoint and self.endpoint.startswith("http:")),
                "connect_timeout": _CONNECT,
                "timeout": _ANSWER,
            },
            retry_config=_RETRY,
            region=self.region,
            virtual_hosted_style_request=self.virtual_hosted,
            conditional_put="etag",
            checksum_algorithm="SHA256",
            **config,
        )

    def arrow(self, folder: str) -> FileSystem:
        """Return a folder of the bucket as an Arrow file system, by which Arrow reads only the columns and row groups that it needs."""
        from pyarrow.fs import S3FileSystem, SubTreeFileSystem

        scheme, _, host = (self.endpoint or "https://").partition("://")
        files = S3FileSystem(
            access_key=self.access_key,
            secret_key=self.secret_key,
            session_token=self.session_token,
            region=self.region,
            endpoint_override=host or None,
            scheme=scheme,
            force_virtual_addressing=self.virtual_hosted and self.endpoint is not None,
            connect_timeout=_CONNECT.total_seconds(),
            request_timeout=_ANSWER.total_seconds(),
        )
        return SubTreeFileSystem("/".join(part for part in (self.bucket, self.prefix, folder) if part), files)

    def clear_errors(self) -> AbstractContextManager[None]:
        """Context manager that turns errors of the S3 server or its client into a `UsageError`; other errors propagate."""
        return clear_errors(self._problem)

    def _problem(self, error: BaseException) -> UsageError | None:
        """Return the UsageError that explains an error of the S3 server or its client, or None if the error has another cause."""
        from obstore.exceptions import BaseError

        for each in causes(error):
            words = str(each).partition("Debug source:")[0].lower()  # obstore's own view of it follows, which names every setting
            ours = isinstance(each, BaseError) or any(word in words for word in _OURS)
            if not ours:
                continue
            if any(word in words for word in _NO_BUCKET):
                return UsageError(f"The bucket of the store {self.where} does not exist: make it there, or correct TRACECORE_STORE_URL.")
            if isinstance(each, FileNotFoundError):
                continue  # one object of a bucket that is there
            if any(word in words for word in _FORBIDDEN):
                return UsageError(f"The store {self.where} refuses these credentials: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
            if any(word in words for word in _UNREACHED):
                return UsageError(
                    f"The store {self.where} can't be reached: start its server or correct AWS_ENDPOINT_URL, then run the same command again."
                )
            if isinstance(each, BaseError):
                return UsageError(f"The store {self.where} could not do what was asked: {_first_line(str(each))}.")
        return None


def _check_endpoint(endpoint: str, env: Mapping[str, str]) -> None:
    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise UsageError(f"AWS_ENDPOINT_URL is '{endpoint}', expected the URL of an S3 server, as in https://s3.example.com.")
    if parts.scheme == "http" and env.get("AWS_ALLOW_HTTP", "").lower() not in _TRUE:
        raise UsageError(f"AWS_ENDPOINT_URL is '{endpoint}', which is not encrypted: use https, or set AWS_ALLOW_HTTP=true to allow it.")


def _first_line(text: str) -> str:
    line = next(iter(text.strip().splitlines()), "it gave no reason")
    return re.sub(r"\s+", " ", line)[:300].rstrip(". ")
