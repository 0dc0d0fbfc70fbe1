"""Which bucket a store lies in, how it is reached (its URL, the usual `AWS_*` variables), and one clear sentence for each of its errors."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tracecore.errors import UsageError
from tracecore.system.failures import causes

__all__ = ["BucketSettings", "bucket_problem", "clear_bucket_errors"]

_TRUE = frozenset({"1", "true", "yes", "on"})


@dataclass(frozen=True, slots=True)
class BucketSettings:
    """How a bucket is reached.

    Attributes:
        prefix: without slashes at its ends; empty for the whole bucket.
        endpoint: URL of the server; None for AWS.
        access_key: None where the machine has a role.
        session_token: of temporary credentials.
        virtual_hosted: whether the bucket's name is in the host's name, not in the path.
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
        """The store's URL, as it was named."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def where(self) -> str:
        """The store in words for errors."""
        return f"{self.url} at {self.endpoint}" if self.endpoint else self.url

    @classmethod
    def of(cls, url: str, environment: Mapping[str, str] | None = None) -> BucketSettings:
        """Read the environment for a store URL, which the settings have found to be right.

        Raises:
            UsageError: the endpoint is none that may be spoken to, or half of a key is missing.
        """
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


def _check_endpoint(endpoint: str, env: Mapping[str, str]) -> None:
    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise UsageError(f"AWS_ENDPOINT_URL is '{endpoint}', expected the URL of an S3 server, as in https://s3.example.com.")
    if parts.scheme == "http" and env.get("AWS_ALLOW_HTTP", "").lower() not in _TRUE:
        raise UsageError(f"AWS_ENDPOINT_URL is '{endpoint}', which is not encrypted: use https, or set AWS_ALLOW_HTTP=true to allow it.")


_NO_BUCKET = ("nosuchbucket", "the specified bucket does not exist", "bucket does not exist")
_FORBIDDEN = ("accessdenied", "access denied", "invalidaccesskeyid", "signaturedoesnotmatch", "403 forbidden", "401 unauthorized", "permissiondenied")
_UNREACHED = (
    "error sending request", "connection refused", "connect error", "dns error", "timed out", "timeout", "connection reset", "network_connection",
    "connection closed", "broken pipe", "service unavailable", "internal server error", "502 bad gateway",
)  # fmt: skip
_OURS = ("generic s3 error", "aws error", "error performing", "s3 error", "object at location")


def bucket_problem(error: BaseException, settings: BucketSettings) -> UsageError | None:
    """Say in one sentence why an object store could not do what was asked, if that is what an error means.

    Returns:
        The sentence as an error, or None where the error means something else.
    """
    from obstore.exceptions import BaseError

    for each in causes(error):
        words = str(each).partition("Debug source:")[0].lower()  # obstore's own view of it follows, which names every setting
        ours = isinstance(each, BaseError) or any(word in words for word in _OURS)
        if not ours:
            continue
        if any(word in words for word in _NO_BUCKET):
            return UsageError(f"The bucket of the store {settings.where} does not exist: make it there, or correct TRACECORE_STORE_URL.")
        if isinstance(each, FileNotFoundError):
            continue  # one object of a bucket that is there
        if any(word in words for word in _FORBIDDEN):
            return UsageError(f"The store {settings.where} refuses these credentials: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
        if any(word in words for word in _UNREACHED):
            return UsageError(
                f"The store {settings.where} can't be reached: start its server or correct AWS_ENDPOINT_URL, then run the same command again."
            )
        if isinstance(each, BaseError):
            return UsageError(f"The store {settings.where} could not do what was asked: {_first_line(str(each))}.")
    return None


def _first_line(text: str) -> str:
    line = next(iter(text.strip().splitlines()), "it gave no reason")
    return re.sub(r"\s+", " ", line)[:300].rstrip(". ")


@contextmanager
def clear_bucket_errors(settings: BucketSettings) -> Iterator[None]:
    """Turn what an object store raises inside the block into a `UsageError`; other errors pass."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        problem = bucket_problem(error, settings)
        if problem is None:
            raise
        raise problem from error
