"""What an object store answers when it can't: one clear sentence whoever met it (obstore, deltalake, Arrow)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from tracecore.disk import causes
from tracecore.errors import UsageProblem
from tracecore.store.bucket_settings import BucketSettings

__all__ = ["bucket_problem", "clear_bucket_errors"]

_NO_BUCKET = ("nosuchbucket", "the specified bucket does not exist", "bucket does not exist")
_FORBIDDEN = ("accessdenied", "access denied", "invalidaccesskeyid", "signaturedoesnotmatch", "403 forbidden", "401 unauthorized", "permissiondenied")
_UNREACHED = (
    "error sending request", "connection refused", "connect error", "dns error", "timed out", "timeout", "connection reset", "network_connection",
    "connection closed", "broken pipe", "service unavailable", "internal server error", "502 bad gateway",
)  # fmt: skip
_OURS = ("generic s3 error", "aws error", "error performing", "s3 error", "object at location")


def bucket_problem(error: BaseException, settings: BucketSettings) -> UsageProblem | None:
    """Say in one sentence why an object store could not do what was asked, if that is what an error means.

    Args:
        error: whatever was raised while talking to it.
        settings: of the bucket.

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
            return UsageProblem(f"The bucket of the store {settings.where} does not exist: make it there, or correct TRACECORE_STORE_URL.")
        if isinstance(each, FileNotFoundError):
            continue  # one object of a bucket that is there
        if any(word in words for word in _FORBIDDEN):
            return UsageProblem(f"The store {settings.where} refuses these credentials: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
        if any(word in words for word in _UNREACHED):
            return UsageProblem(
                f"The store {settings.where} can't be reached: start its server or correct AWS_ENDPOINT_URL, then run the same command again."
            )
        if isinstance(each, BaseError):
            return UsageProblem(f"The store {settings.where} could not do what was asked: {_first_line(str(each))}.")
    return None


def _first_line(text: str) -> str:
    line = next(iter(text.strip().splitlines()), "it gave no reason")
    return re.sub(r"\s+", " ", line)[:300].rstrip(". ")


@contextmanager
def clear_bucket_errors(settings: BucketSettings) -> Iterator[None]:
    """Turn what an object store raises inside the block into a `UsageProblem`; other errors pass."""
    try:
        yield
    except UsageProblem:
        raise
    except Exception as error:
        problem = bucket_problem(error, settings)
        if problem is None:
            raise
        raise problem from error
