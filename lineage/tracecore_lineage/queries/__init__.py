"""Questions asked of the catalog: trace, impact, show. Each is asked of a prefix of the ledger and reads nothing else."""
