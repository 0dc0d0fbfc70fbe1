"""The ledger: database, migrations, the exact bytes of every event, proofs about them, and locks of live runs."""
