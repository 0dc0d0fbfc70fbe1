"""Refs: the names of artifacts, runs, frames and other subjects of the record.

Grammar (public contract): `kind/name`, `kind/name@<digest prefix of at least 6 hex>`, `build/<name>`, `run/<uuid>`,
`frame/<drive>/<sensor>/<timestamp_ns>`, `label/<id>`, `labeler/<pseudonym>`, `plugin/<name>@<version>`, `vehicle/<vin>`, `bug/<id>`,
`job/<namespace>/<name>` and `external/<namespace>/<name>@<version>`. Within a segment, all but RFC 3986's unreserved characters are percent-encoded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from tracecore_schemas.canonical import hex_of
from tracecore_schemas.kinds import KIND_NAME

__all__ = ["NO_ARTIFACTS", "Ref", "RefError", "artifact_ref", "external_ref", "frame_ref", "parse_ref"]

_SEGMENTS = {"external": 2, "job": 2, "frame": 3}
_NO_DIGEST = frozenset({"external", "vehicle", "bug", "labeler", "job", "frame", "run", "label", "plugin"})
NO_ARTIFACTS = frozenset({"job", "frame", "run", "label", "plugin"})
"""First segments of refs that do not name artifacts."""
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_PREFIX = re.compile(r"[0-9a-f]{6,64}")


class RefError(ValueError):
    """A text is not a valid ref; the message names what was expected."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A parsed ref.

    Attributes:
        kind: the first segment (`dataset`, `frame`, `run`, ...).
        segments: the decoded segments after it: one for artifacts, two for externals and jobs, three for frames.
        version: the decoded part after `@`: a digest prefix in hex, a plugin or dataset version, or None.
    """

    kind: str
    segments: tuple[str, ...]
    version: str | None = None

    @property
    def name(self) -> str:
        """The ref's name: its segments between kind and version, percent-encoded and joined by slashes."""
        return "/".join(quote(segment, safe="") for segment in self.segments)

    @property
    def unversioned(self) -> str:
        """The ref without its version: `kind/name`."""
        return f"{self.kind}/{self.name}"

    @property
    def is_artifact(self) -> bool:
        """Whether the ref is of an artifact kind whose versions are identified by content digests."""
        return self.kind not in _NO_DIGEST

    @property
    def is_whole(self) -> bool:
        """Whether the ref identifies exactly one version: by a digest of 64 hex digits, or, for kinds without a digest, by its name and version."""
        if self.is_artifact:
            return self.version is not None and len(self.version) == 64
        return self.kind != "external" or self.version is not None

    def __str__(self) -> str:
        return self.unversioned if self.version is None else f"{self.unversioned}@{quote(self.version, safe=':')}"


def parse_ref(text: str) -> Ref:
    """Return a ref (`kind/name@version`) parsed; raises RefError if its kind, number of segments or version is invalid."""
    body, at, version_text = text.partition("@")
    kind, slash, rest = body.partition("/")
    if not slash or not KIND_NAME.fullmatch(kind):
        raise RefError(f"{text!r} is not a valid ref: expected 'kind/name', such as 'dataset/NAME', with a kind in snake_case.")
    segments = tuple(unquote(segment) for segment in rest.split("/"))
    expected = _SEGMENTS.get(kind, 1)
    if len(segments) != expected or not all(segments):
        raise RefError(f"{text!r} is not a valid ref: a {kind} has {expected} segment(s) after 'kind/', each not empty and percent-encoded.")
    version = unquote(version_text) if at else None
    if kind not in _NO_DIGEST and version is not None and not _PREFIX.fullmatch(version):
        raise RefError(f"{text!r} is not a valid ref: expected 6 to 64 lower-case hex digits of the digest after '@', found {version!r}.")
    if kind == "run" and not _UUID.fullmatch(segments[0]):
        raise RefError(f"{text!r} is not a valid ref: a run is named by its UUID.")
    if kind == "frame" and not re.fullmatch(r"-?\d+", segments[2]):
        raise RefError(f"{text!r} is not a valid ref: a frame's last segment is its timestamp in whole nanoseconds.")
    return Ref(kind, segments, version)


def artifact_ref(kind: str, name: str, digest: str | None = None) -> str:
    """Return the ref of an artifact, `kind/name`, followed by `@<64 hex>` if a digest is passed."""
    return str(Ref(kind, (name,), None if digest is None else hex_of(digest)))


def external_ref(namespace: str, name: str, version: str) -> str:
    """Return the ref of another OpenLineage producer's dataset; `version` may be `run:<uuid>` (an output without one) or `unversioned` (an input)."""
    return str(Ref("external", (namespace, name), version))


def frame_ref(drive: str, sensor: str, timestamp_ns: int) -> str:
    """Return the ref of a sensor frame; `timestamp_ns` is MCAP's log_time, or the frame's index in its source if that has no clock."""
    return str(Ref("frame", (drive, sensor, str(timestamp_ns))))
