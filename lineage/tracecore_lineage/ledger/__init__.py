"""The ledger: the database, its migrations, the exact bytes of every event, proofs about them, and the locks of live runs."""
