"""Queries of the catalog as of a ledger position: trace, impact, show, histories."""
