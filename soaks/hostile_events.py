"""Events as no producer should send them: Hypothesis draws a good event and spoils it, or makes one that is absurd from the start."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from real_events import real_events
from small_record import strangers_events

__all__ = ["SLUG", "giant", "hostile_events", "many"]

SLUG = "fuzz"
"""Namespace of the workspace that is attacked: events of its own jobs are among them."""
_REPOSITORY = Path(__file__).parents[1]
_DEEP = 100_000
_MANY = 10_000
_GIANT = 50_000_000
_TIMES = (
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59-23:59",
    "0000-01-01T00:00:00Z",
    "10000-01-01T00:00:00Z",
    "2016-12-31T23:59:60Z",
    "2016-12-31T23:59:61Z",
    "2026-02-29T00:00:00Z",
    "2026-11-22T10:00:00",
    "2026-11-22",
    "2026-11-22T10:00:00+24:00",
    "2026-11-22T10:00:00+00:60",
    "2026-11-22T10:00:00.1234567890123456789Z",
    "1970-01-01T00:00:00Z",
    "-2026-11-22T00:00:00Z",
    "2026-11-22t10:00:00z",
    "2026-11-22T10:00:00\u00a0Z",
    "\u0662\u0660\u0662\u0666-11-22T10:00:00Z",
    "now",
    "",
)
_TEXTS = (
    *("", "\x00", "a\x00b", "\\u0000", "\ud800", "\udfff\ud800", "\ufeff", "\u202e", "\n\r\t", "%00", "%", "@", "\U0010ffff", "x" * 10_000),
    *("'; DROP TABLE ledger_event; --", "../../etc/passwd", "kind/name@", "build/", "file", "unversioned", "run:", SLUG),
    *("tracecore.key_rotate", "tracecore.consent_withdraw", "sha256:" + "0" * 64, "sha256:" + "G" * 64),
    *("drive_log/north", "dataset/small.drives", "bug/1", "labeler/x", "vehicle/1", "external/a/b@c"),
)
_NUMBERS = (0, -1, 2**31, 2**53, 2**63, 2**64, -(2**63) - 1, 10**400, 1e308, -0.0, 5e-324, float("nan"), float("inf"), float("-inf"))


def hostile_events() -> st.SearchStrategy[bytes]:
    """Return a strategy for the bytes of one event that may be anything."""
    return st.one_of(_mutated(), _mutated(), _mutated(), _quarrel(), _quarrel(), _spoiled_text(), _absurd(), st.binary(max_size=200), _just_json())


def giant(number: int) -> bytes:
    """Return one of a few events of 50 MB: good ones and bad ones."""
    good = json.loads(_samples()[0])
    facet = {"_producer": "urn:p", "_schemaURL": "urn:s", "text": "x" * _GIANT}
    made: tuple[Callable[[], bytes], ...] = (
        lambda: json.dumps({**good, "run": {"runId": "00000000-0000-7000-8000-00000000aaaa", "facets": {"large": facet}}}).encode(),
        lambda: json.dumps({**good, "run": {"runId": "x" * _GIANT}}).encode(),
        lambda: json.dumps({**good, "eventTime": "2" * _GIANT}).encode(),
        lambda: b"[" * _GIANT,
        lambda: b"\xff" * _GIANT,
        lambda: b'{"a":' + b"9" * _GIANT + b"}",
    )
    return made[number % len(made)]()


def many(number: int) -> bytes:
    """Return an event of ten thousand facets or, in turns, of ten thousand inputs."""
    event = json.loads(strangers_events(2)[1])
    event["run"] = {"runId": f"00000000-0000-7000-8000-{number:012d}"}
    if number % 2:
        event["inputs"] = [{**event["inputs"][0], "name": f"table-{each}"} for each in range(_MANY)]
    else:
        event["run"]["facets"] = {f"facet_{each}": {"_producer": "urn:p", "_schemaURL": "urn:s"} for each in range(_MANY)}
    return json.dumps(event).encode()


@cache
def _samples() -> tuple[bytes, ...]:
    """Return good events: another producer's, those of the shared data where they are there, and some that speak as the workspace itself."""
    return (*strangers_events(6), *real_events(), *(json.dumps(event).encode() for event in _ours()))


def _ours() -> Iterator[dict[str, Any]]:
    """Yield events that say what only the workspace itself may say: its jobs, its facets, in its own name and in a stranger's."""
    folders = (_REPOSITORY / part for part in ("lineage", "schemas", "plugins"))
    files = (path for folder in folders for path in sorted(folder.rglob("facets/examples/tracecore_*.json")))
    examples = {path.stem: json.loads(path.read_bytes()) for path in files}
    base = json.loads(strangers_events(2)[1])
    for place, (name, example) in enumerate(examples.items()):
        facet = example.get(name, example)
        run = {"runId": f"00000000-0000-7000-8000-0000000{place:05d}", "facets": {name: facet}}
        for namespace, job in ((SLUG, f"tracecore.{name.removeprefix('tracecore_')}"), ("warehouse", "roll_up")):
            dataset = {"namespace": SLUG, "name": "dataset/small.drives", "facets": {name: facet, **_version("sha256:" + "a" * 64)}}
            yield {**base, "job": {"namespace": namespace, "name": job}, "run": run, "inputs": [dataset], "outputs": [dataset]}


def _version(version: str) -> dict[str, Any]:
    return {"version": {"_producer": "urn:p", "_schemaURL": "urn:s", "datasetVersion": version}}


_scalars = st.one_of(
    st.none(), st.booleans(), st.sampled_from(_NUMBERS), st.integers(), st.sampled_from(_TEXTS), st.sampled_from(_TIMES), st.text(max_size=20)
)
_names = st.one_of(st.sampled_from(_TEXTS), st.text(max_size=8))
_values = st.recursive(_scalars, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_names, inner, max_size=4)), max_leaves=8)


def _just_json() -> st.SearchStrategy[bytes]:
    return _values.map(lambda value: json.dumps(value).encode())


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    """A good event with one to three members replaced, taken away, doubled or put in."""
    event = json.loads(draw(st.sampled_from(_samples())))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(event, ()))
        *path, last = draw(st.sampled_from(places))
        owner = event
        for step in path:
            owner = owner[step]
        match draw(st.sampled_from(("replace", "replace", "replace", "time", "remove", "add"))):
            case "replace":
                owner[last] = draw(_values)
            case "time":
                event["eventTime"] = draw(st.sampled_from(_TIMES))
            case "remove":
                del owner[last]
            case "add" if isinstance(owner, dict):
                owner[draw(st.sampled_from(("facets", "tracecore_build", "tracecore_key", "run", "dataset", "inputs", *_TEXTS)))] = draw(_values)
            case _:
                owner.append(draw(_values)) if isinstance(owner, list) else None
        if not event:
            break
    return json.dumps(event, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from((None, 1)))).encode("utf-8", "surrogatepass")


def _places(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    members: Sequence[tuple[Any, Any]] = list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else ()
    for name, inner in members:
        yield (*path, name)
        yield from _places(inner, (*path, name))


@st.composite
def _spoiled_text(draw: st.DrawFn) -> bytes:
    """A good event's bytes, spoiled as bytes."""
    body = draw(st.sampled_from(_samples()))
    place = draw(st.integers(0, len(body) - 1))
    spoil: Callable[[], bytes] = draw(
        st.sampled_from(
            (
                lambda: body[:place],
                lambda: body + body,
                lambda: body + b"\x00",
                lambda: b"\xef\xbb\xbf" + body,
                lambda: body.decode().encode("utf-16"),
                lambda: body.decode().encode("utf-32-le"),
                lambda: body[:place] + b"\xff\xfe" + body[place:],
                lambda: body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :],
                lambda: body.replace(b'"run"', b'"run":{},"run"', 1),
                lambda: body.replace(b'"namespace"', b'"namespace":"twice","namespace"', 1),
                lambda: body.replace(b'"name"', b'"n\\u0061me":"twice","name"', 1),
                lambda: body.replace(b"{", b'{"x":NaN,', 1),
                lambda: body.replace(b"{", b'{"x":-Infinity,', 1),
                lambda: body.replace(b"{", b'{"x":1e999,', 1),
                lambda: body.replace(b"{", b'{"x":' + b"1" * 5000 + b",", 1),
                lambda: body.replace(b"{", b'{"x":"\\ud83d",', 1),
                lambda: body.replace(b"{", b'{"x":"\\u0000",', 1),
                lambda: body.replace(b"{", b'{"x":"\xed\xa0\x80",', 1),
                lambda: body.replace(b"{", b"{/* a comment */", 1),
                lambda: body.replace(b'"', b"'"),
                lambda: b"   " + body + b"\n\n",
            )
        )
    )
    return spoil()


@st.composite
def _quarrel(draw: st.DrawFn) -> bytes:
    """A good event about one of few runs and datasets, of which others say something else: ends before its start, ends twice, reads what it wrote."""
    event = json.loads(strangers_events(2)[1])
    event["eventTime"] = draw(st.sampled_from(_TIMES))
    event["eventType"] = draw(st.sampled_from(("START", "RUNNING", "COMPLETE", "FAIL", "ABORT", "OTHER")))
    run = f"00000000-0000-7000-8000-00000000bbb{draw(st.integers(0, 3))}"
    parent = f"00000000-0000-7000-8000-00000000bbb{draw(st.integers(0, 3))}"
    facet = {"_producer": "urn:p", "_schemaURL": "urn:s"}
    event["run"] = {"runId": run, "facets": {"parent": {**facet, "run": {"runId": parent}, "note": draw(_scalars)}}}
    for member in ("inputs", "outputs"):
        named = draw(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(("1", "2", "sha256:" + "a" * 64, None))), max_size=3))
        event[member] = [
            {
                "namespace": draw(st.sampled_from(("warehouse", SLUG, "file"))),
                "name": f"dataset/{name}",
                "facets": _version(version) if version else {},
            }
            for name, version in named
        ]
    return json.dumps(event).encode()


@st.composite
def _absurd(draw: st.DrawFn) -> bytes:
    """A well-formed event of absurd size or shape."""
    event = json.loads(strangers_events(2)[1])
    run = f"00000000-0000-7000-8000-{draw(st.integers(0, 10**12 - 1)):012d}"
    event["run"] = {"runId": run}
    facet = {"_producer": "urn:p", "_schemaURL": "urn:s"}
    dataset = event["inputs"][0]
    match draw(st.integers(0, 7)):
        case 0:  # reads what it writes
            event["outputs"] = event["inputs"]
        case 1:  # is its own parent
            event["run"]["facets"] = {"parent": {**facet, "run": {"runId": run}, "job": {"namespace": "warehouse", "name": "roll_up"}}}
        case 2:  # two runs that are each other's parents
            other = run[:-1] + ("1" if run[-1] != "1" else "2")
            event["run"]["facets"] = {"parent": {**facet, "run": {"runId": other}, "job": {"namespace": "a", "name": "b"}}}
        case 3:
            depth = draw(st.sampled_from((100, 900, 5_000, _DEEP)))
            opening, closing = draw(st.sampled_from(((b"[", b"]"), (b'{"a":', b"}"))))
            return json.dumps(event).encode().replace(b"{", b'{"deep":' + opening * depth + b"1" + closing * depth + b",", 1)
        case 4:
            del event["run"], event["job"]
            event["dataset"] = draw(_values)
        case 5:
            del event["run"]
        case 6:
            event["eventType"] = draw(st.sampled_from(("BEGIN", "complete", "", "COMPLETE ", "RUNNING", "OTHER", 7, None)))
        case _:  # one dataset, again and again, in every role, with facets that disagree
            event["inputs"] = [{**dataset, "facets": {**dataset["facets"], "note": {**facet, "n": number}}} for number in range(50)]
    return json.dumps(event).encode()
