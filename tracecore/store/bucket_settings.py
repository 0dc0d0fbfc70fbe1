"""Which bucket a store lies in, and how it is reached: its URL and the usual `AWS_*` variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tracecore.errors import UsageProblem

__all__ = ["BucketSettings"]

_TRUE = frozenset({"1", "true", "yes", "on"})


@dataclass(frozen=True, slots=True)
class BucketSettings:
    """How a bucket is reached.

    Attributes:
        bucket: its name.
        prefix: below which the store lies, without slashes at its ends; empty for the whole bucket.
        endpoint: URL of the server; None for AWS itself.
        region: of the bucket.
        access_key: None where the machine has a role.
        secret_key: of the access key; never shown.
        session_token: of temporary credentials; never shown.
        virtual_hosted: the bucket's name stands in the host's; else in the path.
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
            UsageProblem: the endpoint is none that may be spoken to, or half of a key is missing.
        """
        env = os.environ if environment is None else environment
        parts = urlsplit(url)
        endpoint = env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or None
        if endpoint is not None:
            _check_endpoint(endpoint, env)
        key, secret = env.get("AWS_ACCESS_KEY_ID") or None, env.get("AWS_SECRET_ACCESS_KEY") or None
        if (key is None) != (secret is None):
            lacking = "AWS_SECRET_ACCESS_KEY" if secret is None else "AWS_ACCESS_KEY_ID"
            raise UsageProblem(f"The store {url} needs both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or neither: set {lacking}.")
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
        raise UsageProblem(f"AWS_ENDPOINT_URL is '{endpoint}', expected the URL of an S3 server, as in https://s3.example.com.")
    if parts.scheme == "http" and env.get("AWS_ALLOW_HTTP", "").lower() not in _TRUE:
        raise UsageProblem(f"AWS_ENDPOINT_URL is '{endpoint}', which is not encrypted: use https, or set AWS_ALLOW_HTTP=true to allow it.")
