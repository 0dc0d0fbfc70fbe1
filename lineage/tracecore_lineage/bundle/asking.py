"""Asking a bundle without a workspace: its events answer as their own record would. Nothing is verified by asking."""

from __future__ import annotations

from pathlib import Path

from tracecore_lineage.bundle.container import NotABundle
from tracecore_lineage.bundle.reading import open_bundle
from tracecore_lineage.queries.question import trace
from tracecore_lineage.reading import BadEvent
from tracecore_lineage.replica import replica
from tracecore_lineage.verification.findings import NONSENSE, told
from tracecore_schemas.trace import Trace

__all__ = ["trace_bundle"]


def trace_bundle(path: Path | str, ref: str | None = None, *, depth: int | None = None) -> Trace:
    """Give a trace from a bundle: of its build, equal to that of the workspace it came from but for what came later, or of anything in it.

    Args:
        path: of the file.
        ref: what is asked about; the build where None.
        depth: how many levels of runs to follow; None for all.

    Raises:
        NotABundle: the file can't be read as one, or is damaged.
        UsageError: the ref is not in it.
    """

    def refuse(name: str, expected: str, found: str) -> None:
        raise NotABundle(f"{path} is damaged: the bytes of its '{name}' are {found}, expected {expected}. 'tracecore verify {path}' says more.")

    with open_bundle(Path(path)) as bundle:
        leaves = bundle.leaves(bundle.parts(refuse), refuse)
        try:
            with replica(leaves, bundle.manifest.ledger_name, bundle.manifest.size) as made:
                return trace(made, ref or bundle.manifest.build, depth=depth)
        except BadEvent as error:
            raise bundle.bad(f"an event in it can't be read ({error})") from None
        except NONSENSE as error:
            raise bundle.bad(f"its events are not what tracecore records ({told(error)})") from None
