"""Developer tool: write the next revision from the difference between the models and the newest revision."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from sqlalchemy import create_engine

from tracecore_lineage.ledger.migrations.upgrade import new_revision, upgrade

if len(sys.argv) != 2:
    sys.exit('Expected one argument, what changes: python -m tracecore_lineage.ledger.migrations "index facets by name".')
with tempfile.TemporaryDirectory() as folder:
    engine = create_engine(f"sqlite:///{Path(folder) / 'empty.db'}")
    upgrade(engine, None)
    new_revision(engine, sys.argv[1])
